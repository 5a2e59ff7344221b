/* MD5 of several messages at once, one in each lane of a SIMD vector.
 *
 * MD5 (RFC 1321) is a chain: each of its 64 steps waits for the step before, so one message leaves most of a core
 * idle. Steps of 4, 8 or 16 messages side by side take hardly longer than those of one.
 *
 * Written with the vector extensions of GCC and Clang, so that 4 and 8 lanes are SSE2, NEON or whatever the machine
 * has. On x86-64, 16 lanes are compiled apart for AVX2, and 8 and 16 for AVX-512, chosen at run time. What AVX-512 gains,
 * a sixth, is not for its width: it does in one instruction what is two or three in the chain.
 *
 * No state of its own, no allocation, no I/O: safe from any number of threads on separate jobs.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words of MD5 are little-endian; this machine is not"
#endif
#if !defined(__SSE2__) && !defined(__ARM_NEON) && !defined(__ALTIVEC__)
#error "without a vector unit hashlib is as fast"
#endif

#define BLOCK 64 /* bytes that MD5 takes at a time */

struct job { /* as library.py has it */
    uint32_t state[4];
    const uint8_t *data;
    size_t blocks; /* of 64 bytes, still to be taken from data */
};

/* RFC 1321 §3.4. A step works on numbers and on vectors of numbers alike; w[i] is word i of each message's block. */
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) (((x) & (z)) + ((y) & ~(z))) /* no bit is in both; a sum shortens the chain by a tenth */
#define H(x, y, z) ((x) ^ ((y) ^ (z)))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))
#define ROTATE(x, s) (((x) << (s)) | ((x) >> (32 - (s))))
#define STEP(f, a, b, c, d, i, k, s)        \
    a += w[i] + (uint32_t)(k) + f(b, c, d); \
    a = b + ROTATE(a, s)
#define FOUR(f, s1, s2, s3, s4, i1, k1, i2, k2, i3, k3, i4, k4) \
    STEP(f, a, b, c, d, i1, k1, s1);                            \
    STEP(f, d, a, b, c, i2, k2, s2);                            \
    STEP(f, c, d, a, b, i3, k3, s3);                            \
    STEP(f, b, c, d, a, i4, k4, s4)
#define ROUNDS                                                                                         \
    FOUR(F, 7, 12, 17, 22, 0, 0xd76aa478, 1, 0xe8c7b756, 2, 0x242070db, 3, 0xc1bdceee);                \
    FOUR(F, 7, 12, 17, 22, 4, 0xf57c0faf, 5, 0x4787c62a, 6, 0xa8304613, 7, 0xfd469501);                \
    FOUR(F, 7, 12, 17, 22, 8, 0x698098d8, 9, 0x8b44f7af, 10, 0xffff5bb1, 11, 0x895cd7be);              \
    FOUR(F, 7, 12, 17, 22, 12, 0x6b901122, 13, 0xfd987193, 14, 0xa679438e, 15, 0x49b40821);            \
    FOUR(G, 5, 9, 14, 20, 1, 0xf61e2562, 6, 0xc040b340, 11, 0x265e5a51, 0, 0xe9b6c7aa);                \
    FOUR(G, 5, 9, 14, 20, 5, 0xd62f105d, 10, 0x02441453, 15, 0xd8a1e681, 4, 0xe7d3fbc8);               \
    FOUR(G, 5, 9, 14, 20, 9, 0x21e1cde6, 14, 0xc33707d6, 3, 0xf4d50d87, 8, 0x455a14ed);                \
    FOUR(G, 5, 9, 14, 20, 13, 0xa9e3e905, 2, 0xfcefa3f8, 7, 0x676f02d9, 12, 0x8d2a4c8a);               \
    FOUR(H, 4, 11, 16, 23, 5, 0xfffa3942, 8, 0x8771f681, 11, 0x6d9d6122, 14, 0xfde5380c);              \
    FOUR(H, 4, 11, 16, 23, 1, 0xa4beea44, 4, 0x4bdecfa9, 7, 0xf6bb4b60, 10, 0xbebfbc70);               \
    FOUR(H, 4, 11, 16, 23, 13, 0x289b7ec6, 0, 0xeaa127fa, 3, 0xd4ef3085, 6, 0x04881d05);               \
    FOUR(H, 4, 11, 16, 23, 9, 0xd9d4d039, 12, 0xe6db99e5, 15, 0x1fa27cf8, 2, 0xc4ac5665);              \
    FOUR(I, 6, 10, 15, 21, 0, 0xf4292244, 7, 0x432aff97, 14, 0xab9423a7, 5, 0xfc93a039);               \
    FOUR(I, 6, 10, 15, 21, 12, 0x655b59c3, 3, 0x8f0ccc92, 10, 0xffeff47d, 1, 0x85845dd1);              \
    FOUR(I, 6, 10, 15, 21, 8, 0x6fa87e4f, 15, 0xfe2ce6e0, 6, 0xa3014314, 13, 0x4e0811a1);              \
    FOUR(I, 6, 10, 15, 21, 4, 0xf7537e82, 11, 0xbd3af235, 2, 0x2ad7d2bb, 9, 0xeb86d391)

/* One message. Also faster than four lanes would be with one of them in use. */
static void advance_1(struct job *const *jobs, size_t count, size_t blocks)
{
    uint32_t a = jobs[0]->state[0], b = jobs[0]->state[1], c = jobs[0]->state[2], d = jobs[0]->state[3];
    (void)count;
    for (size_t n = 0; n < blocks; n++) {
        uint32_t w[16], a0 = a, b0 = b, c0 = c, d0 = d;
        memcpy(w, jobs[0]->data + n * BLOCK, BLOCK);
        ROUNDS;
        a += a0, b += b0, c += c0, d += d0;
    }
    jobs[0]->state[0] = a, jobs[0]->state[1] = b, jobs[0]->state[2] = c, jobs[0]->state[3] = d;
}

typedef uint32_t quad __attribute__((vector_size(16), may_alias));
#ifdef __clang__
#define MIX(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else /* GCC has the other one since version 12 only */
#define MIX(x, y, ...) __builtin_shuffle(x, y, (quad){__VA_ARGS__})
#endif

static inline quad load(const uint8_t *from)
{
    quad words;
    memcpy(&words, from, sizeof words);
    return words;
}

/* Turns the blocks of four messages about: word i of all four goes to words[i * lanes]. */
static inline __attribute__((always_inline)) void turn(uint32_t *words, size_t lanes, const uint8_t *const data[4])
{
    for (size_t i = 0; i < 16; i += 4) {
        const quad m0 = load(data[0] + i * 4), m1 = load(data[1] + i * 4);
        const quad m2 = load(data[2] + i * 4), m3 = load(data[3] + i * 4);
        const quad low01 = MIX(m0, m1, 0, 4, 1, 5), high01 = MIX(m0, m1, 2, 6, 3, 7);
        const quad low23 = MIX(m2, m3, 0, 4, 1, 5), high23 = MIX(m2, m3, 2, 6, 3, 7);
        *(quad *)(words + (i + 0) * lanes) = MIX(low01, low23, 0, 1, 4, 5);
        *(quad *)(words + (i + 1) * lanes) = MIX(low01, low23, 2, 3, 6, 7);
        *(quad *)(words + (i + 2) * lanes) = MIX(high01, high23, 0, 1, 4, 5);
        *(quad *)(words + (i + 3) * lanes) = MIX(high01, high23, 2, 3, 6, 7);
    }
}

/* Up to LANES messages; lanes without one do again what lane 0 does, for nothing. The next blocks are turned while the
 * chain of these is under way: words read back as soon as they were stored in quarters would wait for the stores. */
#define DEFINE_ADVANCE(NAME, LANES)                                                                    \
    static void NAME(struct job *const *jobs, size_t count, size_t blocks)                             \
    {                                                                                                  \
        typedef uint32_t vector __attribute__((vector_size(4 * LANES), may_alias));                    \
        const uint8_t *data[LANES];                                                                    \
        uint32_t words[2][16][LANES] __attribute__((aligned(4 * LANES)));                              \
        vector a, b, c, d;                                                                             \
        for (size_t lane = 0; lane < LANES; lane++) {                                                  \
            const struct job *job = jobs[lane < count ? lane : 0];                                     \
            const uint32_t *state = job->state;                                                        \
            data[lane] = job->data;                                                                    \
            a[lane] = state[0], b[lane] = state[1], c[lane] = state[2], d[lane] = state[3];            \
        }                                                                                              \
        for (size_t lane = 0; lane < LANES; lane += 4)                                                 \
            turn(&words[0][0][lane], LANES, data + lane);                                              \
        for (size_t n = 0; n < blocks; n++) {                                                          \
            const vector *const w = (const vector *)words[n & 1];                                      \
            const vector a0 = a, b0 = b, c0 = c, d0 = d;                                               \
            if (n + 1 < blocks) {                                                                      \
                for (size_t lane = 0; lane < LANES; lane++)                                            \
                    data[lane] += BLOCK;                                                               \
                for (size_t lane = 0; lane < LANES; lane += 4)                                         \
                    turn(&words[~n & 1][0][lane], LANES, data + lane);                                 \
            }                                                                                          \
            ROUNDS;                                                                                    \
            a += a0, b += b0, c += c0, d += d0;                                                        \
        }                                                                                              \
        for (size_t lane = 0; lane < count; lane++) {                                                  \
            uint32_t *state = jobs[lane]->state;                                                       \
            state[0] = a[lane], state[1] = b[lane], state[2] = c[lane], state[3] = d[lane];            \
        }                                                                                              \
    }

DEFINE_ADVANCE(advance_4, 4)
DEFINE_ADVANCE(advance_8, 8)

#ifdef __x86_64__
#include <immintrin.h>
__attribute__((target("avx2"))) DEFINE_ADVANCE(advance_16, 16)

#undef F
#undef G
#undef H
#undef I
#undef ROTATE
#undef STEP
#define F 0xca /* the same functions as tables of their eight values */
#define G 0xe4
#define H 0x96
#define I 0x39
#define STEP(f, a, b, c, d, i, k, s)                                                              \
    a += w[i] + (uint32_t)(k);                                                                    \
    __asm__("" : "+v"(a)); /* or the compiler adds what is known early last, and the chain grows */ \
    a += CHOOSE(f, b, c, d);                                                                      \
    a = b + ROTATE(a, s)

#define CHOOSE(f, x, y, z) ((vector)_mm256_ternarylogic_epi32((__m256i)(x), (__m256i)(y), (__m256i)(z), f))
#define ROTATE(x, s) ((vector)_mm256_rol_epi32((__m256i)(x), s))
__attribute__((target("avx512vl"))) DEFINE_ADVANCE(advance_8_avx512, 8)
#undef CHOOSE
#undef ROTATE
#define CHOOSE(f, x, y, z) ((vector)_mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), f))
#define ROTATE(x, s) ((vector)_mm512_rol_epi32((__m512i)(x), s))
__attribute__((target("avx512f"))) DEFINE_ADVANCE(advance_16_avx512, 16)
#endif

/* The most lanes that pay on this machine. */
size_t md5_lanes(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        return 16;
#endif
    return 8;
}

typedef void advance(struct job *const *jobs, size_t count, size_t blocks);

/* The fastest way to take the blocks of so many messages side by side. */
static advance *way_for(size_t count)
{
    if (count == 1)
        return advance_1;
    if (count <= 4)
        return advance_4;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vl"))
        return count <= 8 ? advance_8_avx512 : advance_16_avx512;
    if (count > 8)
        return advance_16;
#endif
    return advance_8;
}

/* Takes all blocks of all jobs and leaves their `blocks` at 0. Reorders the list of jobs. `lanes` is the most to use
 * at once; 0 leaves that to the machine. */
void md5_advance(struct job **jobs, size_t count, size_t lanes)
{
    if (!lanes || lanes > md5_lanes())
        lanes = md5_lanes();
    for (;;) {
        size_t left = 0, blocks = SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            if (jobs[i]->blocks)
                jobs[left++] = jobs[i];
        if (!left)
            return;
        count = left;
        const size_t together = count < lanes ? count : lanes;
        for (size_t i = 0; i < together; i++)
            if (jobs[i]->blocks < blocks)
                blocks = jobs[i]->blocks;
        way_for(together)(jobs, together, blocks);
        for (size_t i = 0; i < together; i++) {
            jobs[i]->data += blocks * BLOCK;
            jobs[i]->blocks -= blocks;
        }
    }
}
