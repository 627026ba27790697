/* Integer neural networks: the reference runtime of models that qatviz exports as C.
 *
 * C99; integers only; no allocation, no state, no recursion. Each result is rounded once, half up (by an average pool:
 * ties away from its tie_center). Vector instructions, used for 8 bits where there are some, compute the same integers.
 * The parameters have CMSIS-NN's names and conventions, and its kernels can take part: see qatviz_nn_cmsis.h.
 *
 * A real value is scale * (code - zero_point). Images are [height][width][channels], the last axis fastest.
 */
#ifndef QATVIZ_NN_H
#define QATVIZ_NN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Storage of codes. QNN_INT4, for weights only, has two per byte, the first in the low nibble. */
typedef enum { QNN_INT4, QNN_INT8, QNN_INT16 } qnn_storage;

/* Type of the shifts: CMSIS-NN's in a program with its kernels, see qatviz_nn_cmsis.h. */
#ifdef QATVIZ_NN_USE_CMSIS_NN
typedef int32_t qnn_shift;
#else
typedef int8_t qnn_shift;
#endif

/* Shape of an image of codes; a vector has height and width 1. */
typedef struct {
    int32_t height, width, channels;
    qnn_storage storage;
} qnn_shape;

/* A convolution. A dense layer is a convolution with a 1x1 kernel on a 1x1 image.
 *
 * For output channel c, with sum = bias[c] + sum of (input + input_offset) * (weight + weights_offset[c]):
 *
 *     output = clamp(round(sum * multiplier[c] * 2^(shift[c] - 31)) + output_offset)
 */
typedef struct {
    qnn_shape in, out;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t dilation_height, dilation_width;
    int32_t pad_top, pad_left;       /* rows above and columns left of the image, filled with the zero point;
                                        transposed: rows above and columns left that the output leaves out */
    const void *weights;             /* [out][height][width][in]; depthwise: [height][width][out] */
    qnn_storage weights_storage;
    const int32_t *weights_offset;   /* [out], minus the zero points; NULL where they are all 0 */
    const int32_t *bias;             /* [out]; NULL if wide_bias is set */
    const int64_t *wide_bias;        /* [out], for layers with more than 8 bits */
    const int32_t *multiplier;       /* [out], 0 .. 2^31 - 1 */
    const qnn_shift *shift;          /* [out], positive: to the left */
#ifdef QATVIZ_NN_USE_CMSIS_NN
    const int32_t *kernel_sum;       /* [out], of a dense layer: bias plus sum of input_offset * weight; or NULL */
#endif
    int32_t input_offset;            /* minus the input's zero point */
    int32_t output_offset;           /* the output's zero point */
    int32_t activation_min, activation_max;
} qnn_conv;

/* Convolutions of equal parts of the channels; weights of each output channel: [height][width][in / groups]. */
typedef struct {
    qnn_conv conv;
    int32_t groups;
} qnn_grouped_conv;

/* A pool; padding is ignored. An average is rounded to the nearest code, ties away from tie_center. */
typedef struct {
    qnn_shape in, out;
    int32_t pool_height, pool_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;
    int32_t tie_center;              /* 0, or the zero point with more than 8 bits; unused by a max pool */
    int32_t activation_min, activation_max;
} qnn_pool;

/* The mean of each channel: round((3 * sum of (input + input_offset) + 1) * multiplier * 2^(shift - 31)). The 1 rounds
 * ties of a mean up. */
typedef struct {
    qnn_shape in, out;
    int32_t multiplier;
    int8_t shift;
    int32_t input_offset, output_offset;
    int32_t activation_min, activation_max;
} qnn_mean;

/* A sum: round(sum over i of (input_i + input_offset[i]) * multiplier[i] * 2^(shift - 31)), rounded once. */
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

/* A sum whose terms are rounded, too, as by TFLite's int16 kernel:
 * round(sum over i of round((input_i + input_offset[i]) * multiplier[i] * 2^(shift[i] - 31))
 *       * multiplier[inputs] * 2^(shift[inputs] - 31)); see rounded_twice in qatviz_nn.c. */
typedef struct {
    int32_t count;                   /* codes of each input, and of the output */
    int32_t inputs;
    const qnn_storage *in_storage;   /* [inputs] */
    const int32_t *input_offset;     /* [inputs] */
    const int32_t *multiplier;       /* [inputs + 1] */
    const qnn_shift *shift;          /* [inputs + 1] */
    qnn_storage out_storage;
    int32_t output_offset;
    int32_t activation_min, activation_max;
} qnn_rounded_sum;

/* Inputs concatenated along an axis; all have the same storage. */
typedef struct {
    int32_t outer;                   /* number of repetitions of one piece from each input */
    int32_t inputs;
    const int32_t *piece;            /* [inputs], number of codes of a piece */
    qnn_storage storage;
    int32_t activation_min, activation_max;
} qnn_join;

/* Two inputs, a = input_0 + input_offset[0] and b = input_1 + input_offset[1], combined position by position:
 * a product, round(a * b * multiplier[0] * 2^(shift[0] - 31)), or rounded twice; a sum, round((a * multiplier[0] + sign * b *
 * multiplier[1]) * 2^(shift[0] - 31)), or with rounded terms as in qnn_rounded_sum; the larger or smaller code. */
typedef struct {
    int32_t count[4];                /* axes of the output */
    int32_t stride[2][4];            /* distances between neighbours in each input; 0 along an axis that is repeated */
    qnn_storage in_storage[2];
    int32_t input_offset[2];
    int32_t multiplier[3];
    int8_t shift[3];
    int8_t sign;                     /* 1 or -1 */
    qnn_storage out_storage;
    int32_t output_offset;
    int32_t activation_min, activation_max;
} qnn_pair;

/* Products of matrices: round(sum over k of (a[row][k] + input_offset[0]) * (b[k][column] + input_offset[1]) * multiplier
 * * 2^(shift - 31)), rounded once, or twice. */
typedef struct {
    int32_t count;                   /* number of matrices */
    int32_t rows, columns, terms;
    int32_t stride[2];               /* distances between neighbours in b: along k, along the columns */
    qnn_storage in_storage[2];
    int32_t input_offset[2];
    int32_t multiplier;
    int8_t shift;
    qnn_storage out_storage;
    int32_t output_offset;
    int32_t activation_min, activation_max;
} qnn_matrices;

/* A function: each code of the input is a position in a table of codes of the output. */
typedef struct {
    int32_t count;
    qnn_storage in_storage, out_storage;
    int32_t lowest;                  /* code of the first entry */
    const void *table;               /* of codes in out_storage */
} qnn_function;

/* Rows of a table, one for each id of the input; ids are int32_t from 0 on, others are replaced by the nearest one. */
typedef struct {
    int32_t count;                   /* ids */
    int32_t rows, columns;
    qnn_storage storage;
    const void *table;               /* [rows][columns] */
} qnn_table;

/* An image padded with the zero point. */
typedef struct {
    qnn_shape in, out;
    int32_t pad_top, pad_left;
    int32_t zero_point;
} qnn_border;

/* Codes selected, ordered or repeated: along axis k, the outputs are stride[k] inputs apart, the last axis fastest. */
#define QNN_AXES 6
typedef struct {
    int32_t count[QNN_AXES];
    int32_t stride[QNN_AXES];
    int32_t first;                   /* index of the first output's code */
    qnn_storage storage;
} qnn_view;

/* An enlarged image: codes between those of the input, weighted by distance; ties are rounded away from tie_center. */
typedef struct {
    qnn_shape in, out;
    const int32_t *row_position;     /* [out.height], between rows of the input, in parts of unit; likewise columns */
    const int32_t *column_position;  /* [out.width] */
    int32_t unit;
    int32_t tie_center;
} qnn_interpolation;

/* Codes clamped to bounds. */
typedef struct {
    int32_t count;
    qnn_storage storage;
    int32_t activation_min, activation_max;
} qnn_bounds;

#ifdef QATVIZ_NN_USE_CMSIS_NN
/* Functions with shifts have names of their own, so that the linker refuses a program only parts of which define it. */
#define qnn_conv2d qnn_cmsis_conv2d
#define qnn_grouped_conv2d qnn_cmsis_grouped_conv2d
#define qnn_depthwise_conv2d qnn_cmsis_depthwise_conv2d
#define qnn_transposed_conv2d qnn_cmsis_transposed_conv2d
#define qnn_add_rounded qnn_cmsis_add_rounded
void qnn_cmsis_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_cmsis_grouped_conv2d(const qnn_grouped_conv *op, const void *input, void *output);
void qnn_cmsis_depthwise_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_cmsis_transposed_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_cmsis_add_rounded(const qnn_rounded_sum *op, const void *const *inputs, void *output);
#endif
void qnn_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_grouped_conv2d(const qnn_grouped_conv *op, const void *input, void *output);
void qnn_depthwise_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_transposed_conv2d(const qnn_conv *op, const void *input, void *output);
void qnn_max_pool(const qnn_pool *op, const void *input, void *output);
void qnn_average_pool(const qnn_pool *op, const void *input, void *output);
void qnn_global_average(const qnn_mean *op, const void *input, void *output);
void qnn_add(const qnn_sum *op, const void *const *inputs, void *output);
void qnn_add_rounded(const qnn_rounded_sum *op, const void *const *inputs, void *output);
void qnn_concat(const qnn_join *op, const void *const *inputs, void *output);
void qnn_multiply(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_multiply_rounded(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_add_pair(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_add_pair_rounded(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_matmul(const qnn_matrices *op, const void *const *inputs, void *output);
void qnn_matmul_rounded(const qnn_matrices *op, const void *const *inputs, void *output);
void qnn_maximum(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_minimum(const qnn_pair *op, const void *const *inputs, void *output);
void qnn_lookup(const qnn_function *op, const void *input, void *output);
void qnn_embedding(const qnn_table *op, const void *input, void *output);
void qnn_pad(const qnn_border *op, const void *input, void *output);
void qnn_gather(const qnn_view *op, const void *input, void *output);
void qnn_interpolate(const qnn_interpolation *op, const void *input, void *output);
void qnn_clamp(const qnn_bounds *op, const void *input, void *output);

#ifdef QATVIZ_DUMP
/* To be defined by the caller for inspection: called with the output codes of each layer. */
void qatviz_dump(const char *layer, const void *codes, uint32_t bytes);
#endif

#ifdef __cplusplus
}
#endif

#endif
