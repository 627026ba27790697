/* Integer neural networks: the reference runtime of models that qatviz exports as C.
 *
 * C99; integers only; no allocation, no state, no recursion. It is written to be read, and to compute exactly what the
 * exported model stands for: each result is rounded once, half up. Kernels of a platform (CMSIS-NN, say) can take its
 * place: the parameters have their names and conventions.
 *
 * A real value is scale * (code - zero_point). Images are [height][width][channels], the last axis fastest.
 */
#ifndef QATVIZ_NN_H
#define QATVIZ_NN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How codes are stored. Of QNN_INT4, which only weights have, two are in a byte, the first in the low nibble. */
typedef enum { QNN_INT4, QNN_INT8, QNN_INT16 } qnn_storage;

/* An image of codes; of a vector, height and width are 1. */
typedef struct {
    int32_t height, width, channels;
    qnn_storage storage;
} qnn_shape;

/* A convolution. A dense layer is one with a kernel of 1x1 on an image of 1x1.
 *
 * Of output channel c, with sum = bias[c] + sum of (input + input_offset) * (weight + weights_offset[c]):
 *
 *     output = clamp(round(sum * multiplier[c] * 2^(shift[c] - 31)) + output_offset)
 */
typedef struct {
    qnn_shape in, out;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t dilation_height, dilation_width;
    int32_t pad_top, pad_left;       /* what is above and left of the image; its codes are zero points */
    const void *weights;             /* [out][height][width][in]; depthwise: [height][width][out] */
    qnn_storage weights_storage;
    const int32_t *weights_offset;   /* [out], minus the zero points; NULL where they are all 0 */
    const int32_t *bias;             /* [out]; NULL where wide_bias is not */
    const int64_t *wide_bias;        /* [out], of layers with more than 8 bits */
    const int32_t *multiplier;       /* [out], 0 .. 2^31 - 1 */
    const int8_t *shift;             /* [out], positive: to the left */
    int32_t input_offset;            /* minus the input's zero point */
    int32_t output_offset;           /* the output's zero point */
    int32_t activation_min, activation_max;
} qnn_conv;

/* A pool; what is beyond the image does not count. */
typedef struct {
    qnn_shape in, out;
    int32_t pool_height, pool_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;
    int32_t zero_point;              /* of input and output, which share one grid */
    int32_t activation_min, activation_max;
} qnn_pool;

/* The mean of each channel: round((3 * sum of (input + input_offset) + 1) * multiplier * 2^(shift - 31)). The 1 makes
 * ties of a mean go up. */
typedef struct {
    qnn_shape in, out;
    int32_t multiplier;
    int8_t shift;
    int32_t input_offset, output_offset;
    int32_t activation_min, activation_max;
} qnn_mean;

/* A sum: round(sum over i of (input_i + input_offset[i]) * multiplier[i] * 2^(shift - 31)), rounded once for all. */
typedef struct {
    int32_t count;                   /* codes of each input, and of the output */
    int32_t inputs;
    const qnn_storage *in_storage;   /* [inputs] */
    const int32_t *input_offset;     /* [inputs] */
    const int32_t *multiplier;       /* [inputs] */
    qnn_storage out_storage;
    int8_t shift;
    int32_t output_offset;
    int32_t activation_min, activation_max;
} qnn_sum;

/* Inputs one after the other along an axis; all of one storage. */
typedef struct {
    int32_t outer;                   /* how many times there is a piece of each input in turn */
    int32_t inputs;
    const int32_t *piece;            /* [inputs], codes of a piece */
    qnn_storage storage;
    int32_t activation_min, activation_max;
} qnn_join;

/* An image with codes of 0, which are the zero point, around it. */
typedef struct {
    qnn_shape in, out;
    int32_t pad_top, pad_left;
    int32_t zero_point;
} qnn_border;

/* Codes as they are, within bounds. */
typedef struct {
    int32_t count;
    qnn_storage storage;
    int32_t activation_min, activation_max;
} qnn_bounds;

void qnn_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_depthwise_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_max_pool(const qnn_pool *op, const void *input, void *output);
void qnn_average_pool(const qnn_pool *op, const void *input, void *output);
void qnn_global_average(const qnn_mean *op, const void *input, void *output);
void qnn_add(const qnn_sum *op, const void *const *inputs, void *output);
void qnn_concat(const qnn_join *op, const void *const *inputs, void *output);
void qnn_pad(const qnn_border *op, const void *input, void *output);
void qnn_clamp(const qnn_bounds *op, const void *input, void *output);

#ifdef QATVIZ_DUMP
/* To be defined by who looks at the layers: called with the codes that each puts out. */
void qatviz_dump(const char *layer, const void *codes, uint32_t bytes);
#endif

#ifdef __cplusplus
}
#endif

#endif
