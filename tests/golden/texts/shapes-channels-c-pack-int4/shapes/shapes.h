/* shapes: a quantized network.
 *
 * Written by qatviz 0.1.0; do not edit.
 * checkpoint: channels
 * run: b3b14a447169422f94f15d64cc535575
 * step: 25
 */
#ifndef SHAPES_H
#define SHAPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHAPES_INPUT_SIZE 128  /* [8][8][2] */
#define SHAPES_INPUT_SCALE 0.0154795684f  /* value = scale * (code - zero point) */
#define SHAPES_INPUT_ZERO_POINT (-32)
#define SHAPES_INPUT_MIN (-32)  /* 6 bits */
#define SHAPES_INPUT_MAX 31
#define SHAPES_OUTPUT_SIZE 3  /* [3] */
#define SHAPES_OUTPUT_SCALE 0.0178579949f  /* value = scale * (code - zero point) */
#define SHAPES_OUTPUT_ZERO_POINT 3
#define SHAPES_OUTPUT_MIN (-32)  /* 6 bits */
#define SHAPES_OUTPUT_MAX 31

/* Bytes of memory for what the layers put out: it is a static array. */
#define SHAPES_ARENA_BYTES 416

/* The softmax "logits/softmax" after the logits is not computed: it changes no order. For an integer kernel: */
#define SHAPES_SOFTMAX_MULTIPLIER 1227192064
#define SHAPES_SOFTMAX_SHIFT 21
#define SHAPES_SOFTMAX_DIFF_MIN (-992)

/* Computes the codes of an output, SHAPES_OUTPUT_SIZE of them, from those of an input, SHAPES_INPUT_SIZE of them;
 * the two must not overlap. One call at a time: all share one block of memory. */
void shapes_run(const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
