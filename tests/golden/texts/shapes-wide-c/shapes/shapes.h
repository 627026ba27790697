/* shapes: a quantized network.
 *
 * Written by qatviz 0.1.0; do not edit.
 * checkpoint: wide
 * run: b3b14a447169422f94f15d64cc535575
 * step: 21
 */
#ifndef SHAPES_H
#define SHAPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHAPES_INPUT_SIZE 128  /* [8][8][2] */
#define SHAPES_INPUT_SCALE 0.00047647694f  /* value = scale * (code - zero point) */
#define SHAPES_INPUT_ZERO_POINT 0
#define SHAPES_INPUT_MIN (-2048)  /* 12 bits */
#define SHAPES_INPUT_MAX 2047
#define SHAPES_OUTPUT_SIZE 3  /* [3] */
#define SHAPES_OUTPUT_SCALE 0.000318302395f  /* value = scale * (code - zero point) */
#define SHAPES_OUTPUT_ZERO_POINT 0
#define SHAPES_OUTPUT_MIN (-2048)  /* 12 bits */
#define SHAPES_OUTPUT_MAX 2047

/* Bytes of memory for the outputs of layers, a static array. */
#define SHAPES_ARENA_BYTES 832

/* The softmax "logits/softmax" after the logits is not computed: it keeps their order. Apply it yourself if needed. */

/* Returns the code of a value of the input: code = floor((min(max(value, -0.9758248), 0.9753483) - (-0.9758248)) / 0.00047647694 + 0.5) - 2048,
 * each operation rounded to float32. */
static inline int16_t shapes_input_code(float value)
{
    /* Variables, because a compiler may give constants and intermediate results more digits. */
    const float lowest = -0.975824773f, highest = 0.975348294f, scale = SHAPES_INPUT_SCALE;
    float steps = value > lowest ? value : lowest;
    steps = steps < highest ? steps : highest;
    steps = steps - lowest;
    steps = steps / scale;
    steps = steps + 0.5f;
    return (int16_t)((int32_t)steps + SHAPES_INPUT_MIN);
}

/* Computes the codes of an output, SHAPES_OUTPUT_SIZE of them, from those of an input, SHAPES_INPUT_SIZE of them;
 * the two must not overlap. One call at a time: all share one block of memory. */
void shapes_run(const int16_t *input, int16_t *output);

#ifdef __cplusplus
}
#endif

#endif
