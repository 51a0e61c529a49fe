#include <math.h>
#include <string.h>

#include "worker/ops/cpu.h"

/* Blocks that are worked on side by side, four numbers each. */
enum { LANES = 16, ROUNDS = 10, NUMBERS = 4 * LANES };

/* The four words of blocks first … first + LANES - 1, as rng_block has them (Salmon et al. 2011).
 */
static void draw(uint32_t words[4][LANES], uint64_t seed, uint64_t stream, uint64_t first)
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    for (int lane = 0; lane < LANES; lane++) {
        const uint64_t index = first + (uint64_t)lane;
        words[0][lane] = (uint32_t)index;
        words[1][lane] = (uint32_t)(index >> 32);
        words[2][lane] = (uint32_t)stream;
        words[3][lane] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < ROUNDS; round++) {
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++) {
            const uint64_t product0 = (uint64_t)0xD2511F53U * words[0][lane];
            const uint64_t product1 = (uint64_t)0xCD9E8D57U * words[2][lane];
            words[0][lane] = (uint32_t)(product1 >> 32) ^ words[1][lane] ^ key0;
            words[2][lane] = (uint32_t)(product0 >> 32) ^ words[3][lane] ^ key1;
            words[1][lane] = (uint32_t)product1;
            words[3][lane] = (uint32_t)product0;
        }
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
}

/* ln u for 0 < u <= 1, as Cephes' logf: u = m 2^e with m in sqrt(1/2) … sqrt(2). */
static inline float log_unit(float u)
{
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    const uint32_t shifted = bits - 0x3F3504F3; /* the bits of sqrt(1/2) */
    const int32_t e = (int32_t)shifted >> 23;
    const uint32_t mantissa = bits - ((uint32_t)e << 23);
    float m;
    memcpy(&m, &mantissa, sizeof m);
    const float x = m - 1.0f;
    const float z = x * x;
    float p = 7.0376836292e-2f;
    p = p * x - 1.1514610310e-1f;
    p = p * x + 1.1676998740e-1f;
    p = p * x - 1.2420140846e-1f;
    p = p * x + 1.4249322787e-1f;
    p = p * x - 1.6668057665e-1f;
    p = p * x + 2.0000714765e-1f;
    p = p * x - 2.4999993993e-1f;
    p = p * x + 3.3333331174e-1f;
    return (float)e * 0.69314718f + (x + (x * z * p - 0.5f * z));
}

/* cosine and sine of 2 pi t, -1/2 <= t < 1/2: half turns are taken off, Taylor series do the rest.
 */
static inline void turn(float *cosine, float *sine, float t)
{
    const float half_turns = t < -0.25f ? -1.0f : t > 0.25f ? 1.0f : 0.0f;
    const float sign = 1.0f - 2.0f * half_turns * half_turns;
    const float x = (t - 0.5f * half_turns) * 6.2831853f; /* within a quarter turn of 0 */
    const float z = x * x;
    float c = -2.7557319e-7f;
    c = c * z + 2.4801587e-5f;
    c = c * z - 1.3888889e-3f;
    c = c * z + 4.1666667e-2f;
    c = c * z - 0.5f;
    float s = -2.5052108e-8f;
    s = s * z + 2.7557319e-6f;
    s = s * z - 1.9841270e-4f;
    s = s * z + 8.3333333e-3f;
    s = s * z - 1.6666667e-1f;
    *cosine = sign * (c * z + 1.0f);
    *sine = sign * (s * z * x + x);
}

static void fill(float out[NUMBERS], float deviation, uint64_t seed, uint64_t stream,
                 uint64_t first_block)
{
    uint32_t words[4][LANES];
    draw(words, seed, stream, first_block);
    for (int pair = 0; pair < 2; pair++) {
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++) {
            const float u = (float)(int32_t)((words[2 * pair][lane] >> 8) + 1) * 0x1p-24f;
            const float t = (float)(int32_t)(words[2 * pair + 1][lane] >> 8) * 0x1p-24f - 0.5f;
            const float radius = deviation * sqrtf(-2.0f * log_unit(u));
            float cosine;
            float sine;
            turn(&cosine, &sine, t);
            out[4 * lane + 2 * pair] = radius * cosine;
            out[4 * lane + 2 * pair + 1] = radius * sine;
        }
    }
}

void AT_LEVEL(fill_normal_cpu)(struct backend *backend, float *out, int64_t n, float deviation,
                               uint64_t seed, uint64_t stream)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += NUMBERS) {
        float numbers[NUMBERS];
        fill(numbers, deviation, seed, stream, (uint64_t)first / 4);
        memcpy(out + first, numbers, (size_t)cpu_min(NUMBERS, n - first) * sizeof *out);
    }
}
