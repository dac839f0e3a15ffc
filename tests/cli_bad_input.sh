#!/bin/bash
# Bad input from the outside: each case ends with one clear line and the right exit code, and leaves
# what was there as it was.
set -u
# shellcheck source=tests/harness/cli.sh
. "$(dirname "$0")/harness/cli.sh"
cli_begin "$@"
make_data
make_config run gpt2
expect "a short run trains" 0 train run.yaml trainer.max_steps=2 --quiet
checkpoint=run/checkpoints/step-00000002

# ------------------------------------------------------------------------------------ command line

expect_error "unknown command" 2 "no command 'trian'.*train" trian
expect_error "unknown option" 2 "no option --resum.*--resume" train run.yaml --resum auto
expect_error "option without value" 2 "--device needs a value" train run.yaml --device
expect_error "flag with a value" 2 "--print-config takes no value" train --print-config=yes
expect_error "no configuration" 2 "needs a CONFIG.yaml" train
expect_error "two configurations" 2 "two configurations" train run.yaml run.yaml
expect_error "generate without a model" 2 "needs one MODEL" generate
expect_error "validate without data" 2 "--data DIR" validate run
expect_error "inspect without a path" 2 "needs one PATH" inspect
expect_error "plot without runs" 2 "at least one run" plot --out a.png
expect_error "plot without output" 2 "--out" plot run
expect_error "a count that is none" 2 "--max-tokens.*'many'" generate run --max-tokens many
expect_error "greedy and a temperature" 2 "--greedy" generate run --greedy --temperature 1
expect_error "corpus without output" 2 "--out DIR" corpus
expect_error "a size that is none" 2 "--size.*big" corpus --out c --size big
expect_error "prepare without input" 2 "INPUT" prepare --out c
run
check "no command: usage on stderr, exit code 2" test "$status" = 2 -a -s err -a ! -s out

# ----------------------------------------------------------------------------------- configuration

new=(train run.yaml run_dir=new --quiet)
echo "trainer: {max_step: 4}" >unknown.yaml
echo "modle: {type: gpt2}" >section.yaml
echo "trainer: {max_steps: many}" >type.yaml
printf 'model:\n  - gpt2\n' >list.yaml
echo "model: {type: gpt2" >broken.yaml
printf 'seed: 1\nseed: 2\n' >twice.yaml
printf 'seed: \xff\n' >bytes.yaml
head -c 2M /dev/zero | tr '\0' '#' >huge.yaml
expect_error "missing file" 1 "missing.yaml.*No such file" train missing.yaml
expect_error "a folder as configuration" 1 "data.*directory" train data
expect_error "unknown key" 2 "unknown.yaml:1.*max_step.*max_steps" train unknown.yaml
expect_error "unknown section" 2 "section.yaml:1.*modle.*model" train section.yaml
expect_error "wrong type" 2 "type.yaml:1.*trainer.max_steps.*integer.*many" train type.yaml
expect_error "a list for a section" 2 "list.yaml:[12].*model" train list.yaml
expect_error "broken YAML" 2 "broken.yaml:[12]" train broken.yaml
expect_error "a key set twice" 2 "twice.yaml:2.*seed" train twice.yaml
expect_error "not UTF-8" 2 "bytes.yaml" train bytes.yaml
expect_error "a huge configuration" "[12]" "huge.yaml" train huge.yaml
expect_error "unknown key, command line" 2 "trainer.max_step.*max_steps" \
  "${new[@]}" trainer.max_step=4
expect_error "wrong type, command line" 2 "optimizer.lr.*'fast'" "${new[@]}" optimizer.lr=fast
expect_error "out of range" 2 "trainer.max_steps.*-1" "${new[@]}" trainer.max_steps=-1
expect_error "no such choice" 2 "model.type.*gpt3.*gpt2" "${new[@]}" model.type=gpt3
expect_error "a key of another model" 2 "model.hidden_size" "${new[@]}" model.hidden_size=32
expect_error "no such logger" 2 "loggers.*jsonl" "${new[@]}" "loggers=[xml]"
export TRIVIUM_TRAINER_MAX_STEPS=soon
expect_error "wrong type, environment" 2 "TRIVIUM_TRAINER_MAX_STEPS.*soon" "${new[@]}"
unset TRIVIUM_TRAINER_MAX_STEPS
export TRIVIUM_FAULT=flood
expect_error "unknown fault" 2 "TRIVIUM_FAULT" "${new[@]}"
unset TRIVIUM_FAULT
expect_error "heads that do not divide" 2 "n_head|heads" "${new[@]}" model.n_head=5
expect_error "sequence longer than the model's" 2 "seq_len.*64.*32|32.*seq_len.*64" \
  "${new[@]}" data.seq_len=64
expect_error "micro-batch that does not divide" 2 "micro_batch_size=3.*global_batch_size=4" \
  "${new[@]}" trainer.micro_batch_size=3
expect_error "a run that is there already" 2 "--resume auto" train run.yaml
check "a refused start leaves no run behind" test ! -e new

# --------------------------------------------------------------------------------------------- data

cp -r data short-data
need truncate -s 20 short-data/train/0000.tokens
mkdir empty-folder
printf '' >empty.txt
printf 'a\xff\xfe' >latin.txt
printf 'short' >few.txt
need "$program" prepare --val 0 --out few few.txt
expect_error "no such text" 1 "absent.txt" prepare --out p absent.txt
expect_error "empty text" 1 "empty" prepare --out p empty.txt
expect_error "text that is not UTF-8" 1 "latin.txt.*UTF-8" prepare --out p latin.txt
expect_error "no such tokenizer" 1 "absent.bin" prepare --out p --tokenizer absent.bin text.txt
expect_error "a folder that is in use" "[12]" "data.*(empty|force)" prepare --out data text.txt
if [ "$(id -u)" != 0 ]; then
  echo secret >locked.txt
  chmod 000 locked.txt
  expect_error "unreadable text" 1 "locked.txt.*denied" prepare --out p locked.txt
fi
expect_error "no such data" 1 "absent" "${new[@]}" data.train=absent
expect_error "a folder without shards" 1 "empty-folder" "${new[@]}" data.train=empty-folder
expect_error "a truncated shard" 1 "short-data" "${new[@]}" data.train=short-data/train
expect_error "too little data" 1 "few" "${new[@]}" data.train=few/train data.val=
expect_error "a model with fewer tokens than the data" 2 "vocabulary" \
  "${new[@]}" model.vocab_size=100
check "no run was begun" test ! -e new

# Shards of another vocabulary than the validation's, or than the model's.
if [ -d "$shared/models/stories260K" ]; then
  stories=$shared/models/stories260K
  need "$program" prepare --tokenizer "$stories/tok512.bin" --out other text.txt
  expect_error "validation data of another tokenizer" 1 "other/val.*(tokenizer|vocabulary)" \
    "${new[@]}" data.val=other/val
  expect_error "validate with data of another tokenizer" 1 "other/val.*(tokenizer|vocabulary)" \
    validate run --data other
  expect_error "resume with data of another tokenizer" "[12]" "tokenizer|vocabulary" \
    train run.yaml --quiet --resume auto data.train=other/train data.val=other/val
fi

# ------------------------------------------------------------------------------------------ devices

expect_error "no such device by name" 1 "no device 'Voodoo 3'" "${new[@]}" --device "Voodoo 3"
expect_error "no such device by index" 1 "no device 99" "${new[@]}" --device 99
expect_error "no such device of a backend" 1 "no device 'vulkan:99'" "${new[@]}" --device vulkan:99
expect_error "no such device by UUID" 1 "no device '0123" \
  "${new[@]}" --device 01234567-89ab-cdef-0123-456789abcdef
expect_error "unknown mask" 2 "mask.*no-f61.*no-f16" "${new[@]}" --mask no-f61
expect_error "a mask that gives" 2 "more than the device has" "${new[@]}" --mask range=64G

# Programs that run Trivium without any driver, and with loaders that are none.
real_program=$program
mkdir fake
echo "no library" >fake/libvulkan.so.1
cp fake/libvulkan.so.1 fake/libvulkan.so
cp fake/libvulkan.so.1 fake/libOpenCL.so.1
cat >without_driver <<SCRIPT
#!/bin/sh
export VK_DRIVER_FILES=$work/absent.json VK_ICD_FILENAMES=$work/absent.json
OCL_ICD_VENDORS=$work/absent/ exec "$program" "\$@"
SCRIPT
cat >without_loader <<SCRIPT
#!/bin/sh
LD_LIBRARY_PATH=$work/fake exec "$program" "\$@"
SCRIPT
chmod +x without_driver without_loader
program=./without_driver
expect_error "no driver: train" 1 "no device.*(driver|install)" "${new[@]}"
expect_error "no driver: generate" 1 "no device.*(driver|install)" generate run
expect_error "no driver: validate" 1 "no device.*(driver|install)" validate run --data data
program=./without_loader
expect "no loader: --help" 0 --help
expect "no loader: corpus" 0 corpus --out corpus --size 8K --quiet
expect "no loader: prepare" 0 prepare --out prepared corpus --quiet
expect "no loader: inspect" 0 inspect run
expect "no loader: plot" 0 plot run --out a.png --quiet
expect_error "no loader: train" 1 "libvulkan|Vulkan" "${new[@]}"
expect_error "no loader: generate" 1 "libvulkan|Vulkan" generate run
program=$real_program

# Memory: what the device has is taken from its limits, so a mask or a huge model shows it.
expect_error "allocations too small" 1 "training needs|limit" "${new[@]}" --mask alloc=1K
expect_error "sequences that do not fit memory" 1 "data.seq_len=[0-9]+ .*would fit" \
  "${new[@]}" model.n_positions=8192 data.seq_len=8192 data.val= --mask alloc=1M
expect_error "batches that do not fit memory" 1 "trainer.micro_batch_size=[0-9]+ would fit" \
  "${new[@]}" trainer.global_batch_size=16777216 trainer.micro_batch_size=16777216
expect_error "activations that do not fit memory" 1 \
  "trainer.activation_checkpointing=block with trainer.micro_batch_size=1 would fit" \
  "${new[@]}" --device null model.n_layer=80 model.n_embd=256 model.n_positions=8192 \
  data.seq_len=8192 data.val=
rm -rf wide && cp -r "$checkpoint" wide && rm wide/manifest.json
sed -i 's/"n_positions": 32/"n_positions": 1048576/' wide/config.json
expect_error "a context that does not fit memory" 1 "takes .*, but the device .* at most" \
  generate wide --mask alloc=1M
check "no run was begun on such devices" test ! -e new

# ------------------------------------------------------------------------------------------- models

# A folder like the run's checkpoint, without the manifest that would catch every change.
make_model() { # NAME
  rm -rf "$1"
  cp -r "$checkpoint" "$1"
  rm "$1/manifest.json" "$1/trainer.json"
}
set_config() { # MODEL SED
  sed -i -E "$2" "$1/config.json"
}
# As training, generation and inspection meet it.
expect_bad_model() { # TEXT REGEX MODEL
  expect_error "$1: model.from" "[12]" "$2" "${new_from[@]}" model.from="$3"
  expect_error "$1: generate" "[12]" "$2" generate "$3" --max-tokens 2
}
sed '/^model/d' run.yaml >from.yaml
new_from=(train from.yaml run_dir=new --quiet)
size=$(stat -c %s "$checkpoint/model.safetensors")

make_model whole
expect "a whole model: model.from" 0 "${new_from[@]}" model.from=whole
rm -rf new
expect_bad_model "no such folder" "absent.*no such folder" absent
expect_bad_model "a folder without a model" "empty-folder" empty-folder
make_model m
truncate -s $((size - 10)) m/model.safetensors
expect_bad_model "truncated weights" "m/model.safetensors" m
truncate -s 100 m/model.safetensors
expect_bad_model "truncated header" "m/model.safetensors.*header" m
: >m/model.safetensors
expect_bad_model "empty weights" "m/model.safetensors" m
rm m/model.safetensors
expect_bad_model "no weights" "m: .*model.safetensors" m
make_model m
printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=m/model.safetensors conv=notrunc status=none
expect_bad_model "a header of 2^63 bytes" "m/model.safetensors.*header" m
make_model m
sed -i 's/"shape":\[32\]/"shape":[-1]/' m/model.safetensors
expect_bad_model "a negative shape" "m/model.safetensors.*shape" m
make_model m
sed -i 's/"shape":\[32\]/"shape":[NaN]/' m/model.safetensors
expect_bad_model "a shape that is no number" "m/model.safetensors" m
make_model m
sed -i 's/"F32"/"I32"/g' m/model.safetensors
expect_bad_model "weights of integers" "m/model.safetensors.*(I32|type)" m
make_model m
sed -i 's/wte/wtf/' m/model.safetensors
expect_bad_model "a weight of another name" "m/model.safetensors.*wte" m
make_model m
set_config m 's/"n_embd": 32/"n_embd": 64/'
expect_bad_model "weights of another shape" "m/model.safetensors.*shape" m
make_model m
set_config m 's/"n_layer": 1/"n_layer": 2/'
expect_bad_model "fewer layers than config.json says" "m/model.safetensors.*h.1." m
make_model m
set_config m 's/"n_head": 2/"n_head": 3/'
expect_bad_model "a config.json that cannot be" "m/config.json.*head" m
make_model m
set_config m 's/"model_type": "gpt2"/"model_type": "mamba"/'
expect_bad_model "an architecture that is not known" "m/config.json.*mamba" m
make_model m
set_config m 's/"n_layer": 1/"n_layer": 1e9/'
expect_bad_model "a number of another type" "m/config.json.*n_layer" m
make_model m
echo "{" >m/config.json
expect_bad_model "broken config.json" "m/config.json" m
rm m/config.json
expect_bad_model "no config.json" "m/config.json" m
make_model m
echo '{"a": [' >m/tokenizer.trivium.json
expect_error "a broken tokenizer: generate" 1 "m/tokenizer" generate m

# A checkpoint's manifest finds any change.
rm -rf m && cp -r "$checkpoint" m
flip_byte m/model.safetensors $((size - 1))
expect_bad_model "a checkpoint with a changed bit" "m.*model.safetensors.*(checksum|sum)" m
run inspect m
check "inspect finds the changed bit" grep -q "^error: .*model.safetensors" err
check "inspect of a damaged checkpoint is exit code 1" test "$status" = 1
echo '{"files": 3}' >m/manifest.json
expect_bad_model "a broken manifest" "manifest.json" m
check "no run was begun from a bad model" test ! -e new

# Every bit of the header, one by one: no crash, and a line for each that is found out.
header=$(($(od -An -tu8 -N 8 "$checkpoint/model.safetensors") + 8))
crashes=0
for ((i = 0; i < header; i += 11)); do
  cp "$checkpoint/model.safetensors" bit.safetensors
  flip_byte bit.safetensors "$i"
  run inspect bit.safetensors
  case $status in
  0) ;;
  1) only_error >/dev/null || crashes=$((crashes + 1)) ;;
  *) crashes=$((crashes + 1)) ;;
  esac
done
check "flipped bits in a safetensors header" test "$crashes" = 0

if [ -d "$shared/safetensors-edge" ]; then
  while IFS=$'\t' read -r name _ verdict; do
    file=$shared/safetensors-edge/$name
    case $verdict in
    OK*leading*) continue ;; # readers differ
    OK*) expect "loads: $name" 0 inspect "$file" ;;
    *)
      expect_error "refused: $name" 1 "$name" inspect "$file"
      make_model m
      cp "$file" m/model.safetensors
      expect_error "refused as a model: $name" 1 "m/model.safetensors" generate m
      ;;
    esac
  done <"$shared/safetensors-edge/INDEX.txt"
else
  echo "skipped: hostile safetensors files; $shared/safetensors-edge is missing"
fi

# --------------------------------------------------------------------------------------- and after

expect "the run is as it was" 0 inspect run
cli_end
