/* The softmax of models that qatviz exports as C with probabilities, as LiteRT computes it: in float.
 *
 * Each result is stored in a variable, which has no more digits than a float: codes are the same on every processor and
 * with every compiler that follows IEEE 754.
 */
#ifndef QATVIZ_SOFTMAX_H
#define QATVIZ_SOFTMAX_H

#include <stdint.h>

/* Probabilities, with scale 1/256 and zero point -128, from 8-bit codes of logits. */
typedef struct {
    int32_t rows, count;             /* of codes along the last axis */
    const float *exponentials;       /* [256], exp(-scale * d) for the difference d of two codes */
} qnn_probabilities;

static void softmax_of_row(const qnn_probabilities *op, const int8_t *logits, int8_t *probabilities)
{
    int32_t i, largest = logits[0];
    float sum = 0.0f, inverse;

    for (i = 1; i < op->count; i++)
        if (logits[i] > largest)
            largest = logits[i];
    for (i = 0; i < op->count; i++)
        sum = sum + op->exponentials[largest - logits[i]];
    inverse = sum / 256.0f;
    inverse = 1.0f / inverse;
    for (i = 0; i < op->count; i++) {
        float steps = op->exponentials[largest - logits[i]] * inverse;
        int32_t whole = (int32_t)steps;
        whole += steps >= (float)whole + 0.5f;
        probabilities[i] = (int8_t)((whole < 255 ? whole : 255) - 128);
    }
}

static void qnn_softmax(const qnn_probabilities *op, const void *input, void *output)
{
    int32_t row;
    for (row = 0; row < op->rows; row++)
        softmax_of_row(op, (const int8_t *)input + row * op->count, (int8_t *)output + row * op->count);
}

#endif
