// Tokenizers: llama2.c's tokenizer.bin, a sentencepiece BPE vocabulary with scores.
// Joining pairs is a heap over a linked list of symbols, so that a text of n bytes costs
// O(n log n); the result is that of joining the best pair of the whole text again and again.
#include "data/tokenizer_kind.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

enum { TOKEN_BOS = 1, TOKEN_EOS = 2, FIRST_BYTE = 3, FIRST_PIECE = FIRST_BYTE + 256 };
enum { TOKEN_LENGTH_MAX = 1 << 16, VOCAB_MAX = 1 << 24 };

#define NONE 0xFFFFFFFFu

typedef struct piece {
    const uint8_t *bytes; // inside the tokenizer's file
    uint32_t length;
    float score;
} piece;

typedef struct vocabulary {
    piece *pieces;
    size_t count, capacity, longest;
    uint32_t *slots; // open addressing by hash of the bytes; NONE is free
    size_t slot_count;
} vocabulary;

// A symbol of the text while pairs are joined. A symbol that was joined to its left neighbour has
// id NONE.
typedef struct symbol {
    uint32_t id, previous, next;
} symbol;

// A pair that can be joined. It is stale when its symbols have changed since.
typedef struct candidate {
    float score;
    uint32_t left, right, left_id, right_id, joined;
} candidate;

typedef struct merger {
    const vocabulary *words;
    symbol *symbols;
    size_t count, capacity;
    candidate *heap;
    size_t heap_count, heap_capacity;
    uint8_t *joined; // words->longest bytes
} merger;

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint32_t *find_slot(const vocabulary *words, const uint8_t *bytes, size_t length)
{
    size_t at = XXH3_64bits(bytes, length) % words->slot_count;
    for (;; at = (at + 1) % words->slot_count) {
        uint32_t id = words->slots[at];
        if (id == NONE || (words->pieces[id].length == length &&
                           memcmp(words->pieces[id].bytes, bytes, length) == 0))
            return &words->slots[at];
    }
}

static uint32_t find_piece(const vocabulary *words, const uint8_t *bytes, size_t length)
{
    return length <= words->longest ? *find_slot(words, bytes, length) : NONE;
}

static void index_pieces(vocabulary *words)
{
    words->slot_count = 2 * words->count + 1;
    words->slots = tv_alloc(words->slot_count, sizeof *words->slots);
    memset(words->slots, 0xFF, words->slot_count * sizeof *words->slots);
    for (size_t id = 0; id < words->count; id++) {
        uint32_t *slot = find_slot(words, words->pieces[id].bytes, words->pieces[id].length);
        if (*slot == NONE) // of equal tokens the first counts
            *slot = (uint32_t)id;
    }
}

static tv_err read_pieces(const char *name, const uint8_t *data, size_t size, vocabulary *words)
{
    if (size < 4)
        return tv_fail(TV_EFORMAT, "%s: %zu bytes are no llama2.c tokenizer", name, size);
    words->longest = read_u32(data);
    if (words->longest == 0 || words->longest > TOKEN_LENGTH_MAX)
        return tv_fail(TV_EFORMAT,
                       "%s: no llama2.c tokenizer: its longest token would have %zu bytes", name,
                       words->longest);
    for (size_t at = 4; at < size;) {
        if (size - at < 8)
            return tv_fail(TV_EFORMAT, "%s: cut off at byte %zu, in the head of token %zu", name,
                           at, words->count);
        uint32_t bits = read_u32(data + at), length = read_u32(data + at + 4);
        float score;
        memcpy(&score, &bits, sizeof score);
        at += 8;
        if (length > words->longest || length > size - at)
            return tv_fail(TV_EFORMAT,
                           "%s: token %zu: length %u at byte %zu is more than the longest (%zu) "
                           "or than what is left (%zu)",
                           name, words->count, length, at - 4, words->longest, size - at);
        if (!isfinite(score) || score <= -1e10f) // llama2.c would never join such a pair
            return tv_fail(TV_EFORMAT, "%s: token %zu: the score at byte %zu is out of range", name,
                           words->count, at - 8);
        if (words->count == VOCAB_MAX)
            return tv_fail(TV_EFORMAT, "%s: more than %d tokens", name, VOCAB_MAX);
        TV_RESERVE(words->pieces, words->capacity, words->count + 1);
        words->pieces[words->count++] = (piece){data + at, length, score};
        at += length;
    }
    return TV_OK;
}

static bool parse_byte_token(const piece *token, uint8_t *byte)
{
    static const char digits[] = "0123456789ABCDEF";
    if (token->length != 6 || memcmp(token->bytes, "<0x", 3) != 0 || token->bytes[5] != '>')
        return false;
    const char *high = memchr(digits, token->bytes[3], 16);
    const char *low = memchr(digits, token->bytes[4], 16);
    if (!high || !low)
        return false;
    *byte = (uint8_t)((high - digits) << 4 | (low - digits));
    return true;
}

static tv_err check_byte_tokens(const char *name, const vocabulary *words)
{
    if (words->count < FIRST_PIECE)
        return tv_fail(TV_EFORMAT, "%s: %zu tokens; <unk>, BOS, EOS and 256 bytes need %d", name,
                       words->count, FIRST_PIECE);
    for (size_t i = 0; i < 256; i++) {
        uint8_t byte;
        if (!parse_byte_token(&words->pieces[FIRST_BYTE + i], &byte) || byte != i)
            return tv_fail(TV_EFORMAT, "%s: token %zu is not <0x%02zX>: no byte fallback", name,
                           FIRST_BYTE + i, i);
    }
    return TV_OK;
}

// Better score first, then further left.
static bool comes_before(const candidate *a, const candidate *b)
{
    return a->score > b->score || (!(a->score < b->score) && a->left < b->left);
}

static void heap_push(merger *m, candidate item)
{
    TV_RESERVE(m->heap, m->heap_capacity, m->heap_count + 1);
    size_t at = m->heap_count++;
    for (; at > 0 && comes_before(&item, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = item;
}

static candidate heap_pop(merger *m)
{
    candidate top = m->heap[0], item = m->heap[--m->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < m->heap_count && comes_before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (child >= m->heap_count || !comes_before(&m->heap[child], &item))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = item;
    return top;
}

static void consider_pair(merger *m, uint32_t left, uint32_t right)
{
    if (left == NONE || right == NONE)
        return;
    uint32_t left_id = m->symbols[left].id, right_id = m->symbols[right].id;
    const piece *a = &m->words->pieces[left_id], *b = &m->words->pieces[right_id];
    size_t length = (size_t)a->length + b->length;
    if (length > m->words->longest)
        return;
    memcpy(m->joined, a->bytes, a->length);
    memcpy(m->joined + a->length, b->bytes, b->length);
    uint32_t id = find_piece(m->words, m->joined, length);
    if (id != NONE)
        heap_push(m, (candidate){m->words->pieces[id].score, left, right, left_id, right_id, id});
}

static void add_symbol(merger *m, uint32_t id)
{
    TV_RESERVE(m->symbols, m->capacity, m->count + 1);
    uint32_t at = (uint32_t)m->count++;
    m->symbols[at] = (symbol){id, at ? at - 1 : NONE, NONE};
    if (at)
        m->symbols[at - 1].next = at;
}

// A character as one token or, where there is none, as byte tokens.
static void add_character(merger *m, const uint8_t *bytes, size_t length)
{
    uint32_t id = find_piece(m->words, bytes, length);
    if (id != NONE) {
        add_symbol(m, id);
        return;
    }
    for (size_t i = 0; i < length; i++)
        add_symbol(m, (uint32_t)FIRST_BYTE + bytes[i]);
}

static void join_pairs(merger *m)
{
    for (uint32_t i = 1; i < m->count; i++)
        consider_pair(m, i - 1, i);
    while (m->heap_count) {
        candidate best = heap_pop(m);
        symbol *left = &m->symbols[best.left], *right = &m->symbols[best.right];
        if (left->id != best.left_id || right->id != best.right_id || left->next != best.right)
            continue;
        left->id = best.joined;
        left->next = right->next;
        right->id = NONE;
        if (left->next != NONE)
            m->symbols[left->next].previous = best.left;
        consider_pair(m, left->previous, best.left);
        consider_pair(m, best.left, left->next);
    }
}

static void llama2c_encode(const tv_tokenizer *tokenizer, const char *text, size_t length,
                           tv_ids *ids)
{
    const vocabulary *words = tokenizer->vocabulary;
    const uint8_t *bytes = (const uint8_t *)text;
    merger m = {.words = words, .joined = tv_alloc(words->longest, 1)};
    TV_CHECK(length < NONE / 2, "a text of %zu bytes in one piece", length);
    add_character(&m, (const uint8_t *)" ", 1);
    for (size_t at = 0; at < length;) {
        size_t n = 1; // malformed UTF-8 too is cut before each byte that is no continuation
        while (n < 4 && at + n < length && (bytes[at + n] & 0xC0) == 0x80)
            n++;
        add_character(&m, bytes + at, n);
        at += n;
    }
    join_pairs(&m);
    for (uint32_t i = 0; i != NONE; i = m.symbols[i].next)
        tv_ids_append(ids, m.symbols[i].id);
    tv_free(m.symbols);
    tv_free(m.heap);
    tv_free(m.joined);
}

static void llama2c_decode(const tv_tokenizer *tokenizer, uint32_t previous, uint32_t token,
                           tv_text *text)
{
    const vocabulary *words = tokenizer->vocabulary;
    const piece *word = &words->pieces[token];
    uint8_t byte;
    if (parse_byte_token(word, &byte))
        tv_text_append(text, &byte, 1);
    else if (previous == TOKEN_BOS && word->length && word->bytes[0] == ' ')
        tv_text_append(text, word->bytes + 1, word->length - 1);
    else
        tv_text_append(text, word->bytes, word->length);
}

static void llama2c_destroy(tv_tokenizer *tokenizer)
{
    vocabulary *words = tokenizer->vocabulary;
    tv_free(words->pieces);
    tv_free(words->slots);
    tv_free(words);
}

static const tv_tokenizer_kind llama2c_kind = {
    .name = "llama2.c",
    .file_name = "tokenizer.bin",
    .starts_with_bos = true,
    .encode = llama2c_encode,
    .decode = llama2c_decode,
    .destroy = llama2c_destroy,
};

tv_err tv_tokenizer_parse_llama2c(const char *name, const uint8_t *data, size_t size,
                                  tv_tokenizer **tokenizer)
{
    vocabulary *words = tv_alloc(1, sizeof *words);
    tv_tokenizer *t = tv_alloc(1, sizeof *t);
    *t = (tv_tokenizer){
        .kind = &llama2c_kind,
        .bos = TOKEN_BOS,
        .eos = TOKEN_EOS,
        .hash = XXH3_64bits(data, size),
        .file = tv_alloc(size ? size : 1, 1),
        .file_size = size,
        .vocabulary = words,
    };
    if (size)
        memcpy(t->file, data, size);
    tv_err err = read_pieces(name, t->file, size, words);
    if (err == TV_OK)
        err = check_byte_tokens(name, words);
    if (err != TV_OK) {
        tv_tokenizer_destroy(&t);
        *tokenizer = NULL;
        return err;
    }
    index_pieces(words);
    t->vocab_size = words->count;
    *tokenizer = t;
    return TV_OK;
}
