// GELU, y = 0.5 x (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016),
// and its slope, of floats and vectors. 0.5 (1 + tanh(u)) is the logistic function of 2u, which
// stays finite for any u. With s that function of v: gelu = v s and gelu' = s + v s (1 - s)
// d(2u)/dv.
#define GELU(v) ((v) / (1.0f + exp(-1.5957691216f * (v) * (1.0f + 0.044715f * (v) * (v)))))
#define LOGISTIC(v) (1.0f / (1.0f + exp(-1.5957691216f * (v) * (1.0f + 0.044715f * (v) * (v)))))
#define SLOPE(v, s) (s + v * s * (1.0f - s) * 1.5957691216f * (1.0f + 0.134145f * v * v))
