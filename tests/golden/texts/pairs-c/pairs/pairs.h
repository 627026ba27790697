/* pairs: a quantized network.
 *
 * Written by qatviz 0.1.0; do not edit.
 * checkpoint: halfway
 * run: b0e2a5fceac340ee8b850ab18c1798bc
 * step: 22
 */
#ifndef PAIRS_H
#define PAIRS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAIRS_INPUT_SIZE 25  /* [5][5][1] */
#define PAIRS_INPUT_SCALE 0.0157642495f  /* value = scale * (code - zero point) */
#define PAIRS_INPUT_ZERO_POINT (-49)
#define PAIRS_INPUT_MIN (-128)  /* 8 bits */
#define PAIRS_INPUT_MAX 127
#define PAIRS_OUTPUT_SIZE 2  /* [2] */
#define PAIRS_OUTPUT_SCALE 0.0120032886f  /* value = scale * (code - zero point) */
#define PAIRS_OUTPUT_ZERO_POINT (-110)
#define PAIRS_OUTPUT_MIN (-128)  /* 8 bits */
#define PAIRS_OUTPUT_MAX 127

/* Bytes of memory for the outputs of layers. */
#define PAIRS_ARENA_BYTES 52

/* Names of the layers, in the order in which they are computed. Before and after a layer, pairs.c invokes
 * PAIRS_LAYER_BEGIN and PAIRS_LAYER_END with the index of its name. These macros are empty unless defined:
 * by options of the compiler, or in a header that PAIRS_HOOKS names ("hooks.h"), which pairs.c then includes. */
#define PAIRS_LAYERS 4
#define PAIRS_LAYER_NAMES { \
    "conv1", "pool", "dense1", "numbers" \
    }

/* Returns the code of a value of the input: code = floor((min(max(value, -1.2453758), 2.774508) - (-1.2453758)) / 0.01576425 + 0.5) - 128,
 * each operation rounded to float32. */
static inline int8_t pairs_input_code(float value)
{
    /* Variables, because a compiler may give constants and intermediate results more digits. */
    const float lowest = -1.24537575f, highest = 2.774508f, scale = PAIRS_INPUT_SCALE;
    float steps = value > lowest ? value : lowest;
    steps = steps < highest ? steps : highest;
    steps = steps - lowest;
    steps = steps / scale;
    steps = steps + 0.5f;
    return (int8_t)((int32_t)steps + PAIRS_INPUT_MIN);
}

/* Computes the codes of an output, PAIRS_OUTPUT_SIZE of them, from those of an input, PAIRS_INPUT_SIZE of them;
 * the two must not overlap. One call at a time: all share one block of memory. */
void pairs_run(const int8_t *input, int8_t *output);

/* The same in memory of the caller: PAIRS_ARENA_BYTES bytes, aligned for an int64_t. Calls with memory of their own
 * may run at the same time. Compile pairs.c with PAIRS_NO_STATIC_ARENA to have this function only. */
void pairs_run_in(void *memory, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
