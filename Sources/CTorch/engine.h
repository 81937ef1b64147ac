// The engine's interface: libtorch as a table of C functions, found at run time behind one symbol.
//
// Rules that hold for every function of the table:
// - A function that can fail returns CT_OK, or CT_FAILED and leaves the outputs alone; last_error() then says why,
//   on the same thread, until the next call. No C++ exception crosses.
// - A handle that comes out of a function carries one reference: release it once. A handle that goes in is borrowed.
// - Strings that come out belong to the engine and stay valid as long as their doc says.
#ifndef SCOREFIELD_ENGINE_H
#define SCOREFIELD_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Grows by one whenever anything below changes shape or meaning.
#define CT_ABI_VERSION 4
/// The one symbol of the plug: a `ct_engine_entry`.
#define CT_ENTRY_SYMBOL "scorefield_engine"

#define CT_OK 0
#define CT_FAILED (-1)

typedef struct ct_tensor_s *ct_tensor;
typedef struct ct_generator_s *ct_generator;
typedef struct ct_group_s *ct_group;
typedef struct ct_operator_s *ct_operator;
typedef struct ct_field_s *ct_field;
typedef struct ct_script_s *ct_script;
typedef int32_t ct_status;

/// Element types, with libtorch's numbers (the plug asserts them when it is compiled).
enum {
  CT_UINT8 = 0, CT_INT8 = 1, CT_INT16 = 2, CT_INT32 = 3, CT_INT64 = 4,
  CT_FLOAT16 = 5, CT_FLOAT32 = 6, CT_FLOAT64 = 7, CT_COMPLEX64 = 9, CT_COMPLEX128 = 10, CT_BOOL = 11,
  CT_BFLOAT16 = 15, CT_FLOAT8_E5M2 = 23, CT_FLOAT8_E4M3 = 24, CT_UINT16 = 27, CT_UINT32 = 28, CT_UINT64 = 29,
  CT_FLOAT8_E8M0 = 44, CT_FLOAT4_E2M1 = 45,
};

/// The derivatives operations are recorded for.
enum { CT_REVERSE = 1, CT_FORWARD = 2 };

/// What a ct_value holds.
enum {
  CT_DEFAULT = 0,  // the schema's default; also for arguments left out at the end
  CT_NONE,
  CT_TENSOR,
  CT_INT,
  CT_DOUBLE,
  CT_FLAG,
  CT_STRING,   // also devices: "cpu", "cuda:1"
  CT_INTS,
  CT_DOUBLES,
  CT_FLAGS,
  CT_TENSORS,  // a null handle stands for none where the schema allows it
  CT_GENERATOR,
};

/// One argument or result of an operator. Pointers are borrowed for the call.
typedef struct {
  int32_t tag;
  int32_t count;
  union {
    int64_t integer;
    double number;
    bool flag;
    ct_tensor tensor;
    ct_generator generator;
    const char *string;
    const int64_t *integers;
    const double *numbers;
    const bool *flags;
    const ct_tensor *tensors;
  } as;
} ct_value;

/// What an exact field is asked, with x a query, y a row of the data and w its weight:
///
///     lᵢ = log wᵢ − |x − α yᵢ|²/(2σ²),   pᵢ = exp(lᵢ − log Σⱼ exp lⱼ)
///
/// Tensors are plain, on the host, and borrowed for the call that takes the options; a null handle is nothing.
typedef struct {
  /// [B, d], float32 or float64.
  ct_tensor queries;
  /// [B, d] like the queries: products of the covariance with it are wanted.
  ct_tensor directions;
  /// float64 [d], near the mean of the data, its elements representable in float32: sums are taken about it. Nothing: 0.
  ct_tensor centre;
  /// int64 [B]: the row each query does without, counted over the whole data set; -1 for none.
  ct_tensor omitted;
  /// int64 [n], ascending: the only blocks of CT_FIELD_BLOCK rows that are looked at. Nothing: all.
  ct_tensor blocks;
  /// α and σ.
  double alpha, sigma;
  /// Whether every point that matters is met by explicit differences; costly, for queries that lost digits otherwise.
  bool exact;
  /// Whether the least distance to every block is wanted.
  bool minima;
} ct_field_options;

/// Rows per block. Sums are formed block by block, so that they do not depend on how the rows were handed over.
#define CT_FIELD_BLOCK 256

/// The answer, in the type of the queries; every handle carries a reference, or is null where nothing was asked.
typedef struct {
  /// log Σᵢ exp lᵢ, [B].
  ct_tensor log_sum;
  /// Σᵢ pᵢ yᵢ and (α Σᵢ pᵢ yᵢ − x)/σ², [B, d]; the second is not computed from the first.
  ct_tensor mean, score;
  /// Σᵢ pᵢ |yᵢ − mean|², [B].
  ct_tensor spread;
  /// Σᵢ pᵢ (yᵢ − mean) ((yᵢ − mean)·v), [B, d].
  ct_tensor product;
  /// bool [B]: the second moments cancelled to fewer digits than the type deserves; ask again with `exact`.
  ct_tensor lost;
  /// min |x − α y|² over the rows of a block, [B, blocks], float32, infinite for blocks that were not looked at; to within
  /// rounding of |x|² + α²|y|².
  ct_tensor minima;
} ct_field_sums;

typedef struct {
  /// CT_ABI_VERSION of the plug. Read it before anything else: the rest moves when it changes.
  int64_t abi_version;
  /// The libtorch the plug was compiled against and the one it found at run time; they must be equal.
  const char *torch_built;
  const char *torch_found;

  /// Why the last call on this thread failed.
  const char *(*last_error)(void);

  // Operators. Any operator of libtorch, by the name and overload of its schema ("aten::add", "Tensor").
  /// The handle lives as long as the process.
  ct_status (*find)(const char *name, const char *overload, ct_operator *out);
  /// Results that are lists of tensors are spread out; `capacity` too small is a failure.
  ct_status (*call)(ct_operator op, const ct_value *arguments, int32_t count, ct_value *results, int32_t capacity,
                    int32_t *result_count);

  // Tensors.
  void (*retain)(ct_tensor tensor);
  void (*release)(ct_tensor tensor);
  /// A tensor over `data`; `release(context)` runs when libtorch no longer needs the memory. Null `release`: copies.
  ct_status (*from_memory)(const void *data, int32_t type, const int64_t *shape, int32_t rank,
                           void (*release)(void *context), void *context, ct_tensor *out);
  /// Copies the elements, in row-major order, to host memory of exactly `size` bytes.
  ct_status (*copy_out)(ct_tensor tensor, void *out, int64_t size);
  int32_t (*rank)(ct_tensor tensor);
  /// Writes `rank` lengths.
  void (*shape)(ct_tensor tensor, int64_t *out);
  int32_t (*element_type)(ct_tensor tensor);
  /// Writes a name such as "cuda:0" with its terminating zero.
  void (*device)(ct_tensor tensor, char *out, int32_t capacity);
  /// Whether nothing but the handle refers to the tensor or to its memory, which is libtorch's own and in row-major
  /// order: whoever owns the handle may then write into it unseen.
  bool (*is_unique)(ct_tensor tensor);
  /// Whether the tensor is numbers in host memory, in row-major order, and nothing that is recorded or batched depends on
  /// it: functions that read memory may take it.
  bool (*is_plain)(ct_tensor tensor);

  // Function transforms. Layers nest like calls, on one thread, and a tensor made under a layer is unwrapped before it
  // leaves. Enter, wrap or make dual, compute, unwrap, exit.
  ct_status (*grad_enter)(int64_t *level);
  ct_status (*jvp_enter)(int64_t *level);
  ct_status (*vmap_enter)(int64_t batch, int64_t *level);
  void (*layer_exit)(void);
  ct_status (*grad_wrap)(ct_tensor tensor, int64_t level, ct_tensor *out);
  /// Unwraps what grad_wrap or a jvp layer of this level wrapped; other tensors come back as they are.
  ct_status (*layer_unwrap)(ct_tensor tensor, int64_t level, ct_tensor *out);
  ct_status (*make_dual)(ct_tensor primal, ct_tensor tangent, ct_tensor *out);
  /// `tangent` is null where the tensor does not depend on the dual input.
  ct_status (*unpack_dual)(ct_tensor dual, ct_tensor *primal, ct_tensor *tangent);
  ct_status (*batch_add)(ct_tensor tensor, int64_t dimension, int64_t level, ct_tensor *out);
  ct_status (*batch_remove)(ct_tensor tensor, int64_t level, int64_t batch, int64_t dimension, ct_tensor *out);
  /// Gradients of the outputs, weighted by `cotangents`; null where no output depends on an input. `inside` says whether
  /// the layer that wrapped the inputs is still entered.
  ct_status (*gradients)(const ct_tensor *outputs, const ct_tensor *cotangents, int32_t output_count,
                         const ct_tensor *inputs, int32_t input_count, bool keep_graph, bool inside, ct_tensor *out);
  /// Sets for which derivatives operations on this thread are recorded (CT_REVERSE | CT_FORWARD); returns what it was.
  int32_t (*set_recording)(int32_t modes);

  // The ordinary tape: reverse mode without a layer, which costs less per operation. It is entered only where nothing is
  // recorded in reverse; layers may be entered inside. Enter, compute, take gradients, exit.
  /// Yields aliases of the inputs, which the tape follows; `entered` is false, and nothing is yielded, where a layer is
  /// needed instead.
  ct_status (*tape_enter)(const ct_tensor *inputs, int32_t count, bool *entered, ct_tensor *variables);
  /// The value of one element cut off from the tape, and its gradients; null where it does not depend on a variable.
  ct_status (*tape_gradients)(ct_tensor output, const ct_tensor *variables, int32_t count, ct_tensor *value,
                              ct_tensor *gradients);
  void (*tape_exit)(void);

  // Random numbers.
  ct_status (*generator_create)(uint64_t seed, const char *device, ct_generator *out);
  ct_status (*generator_copy)(ct_generator generator, ct_generator *out);
  void (*generator_release)(ct_generator generator);
  /// The whole state as a uint8 tensor on the host.
  ct_status (*generator_state)(ct_generator generator, ct_tensor *out);
  ct_status (*generator_restore)(ct_generator generator, ct_tensor state);
  /// 64 random bits.
  ct_status (*generator_next)(ct_generator generator, uint64_t *out);

  // The machine.
  /// How many threads one operation may use, whichever thread calls it.
  int32_t (*threads)(void);
  void (*set_threads)(int32_t count);
  /// The number of devices of a kind ("cpu", "cuda").
  int32_t (*device_count)(const char *kind);
  ct_status (*synchronize)(const char *device);

  // Process groups (Gloo). `rendezvous` is "file:PATH" or "tcp:HOST:PORT", the same for all; rank 0 serves TCP.
  ct_status (*group_create)(const char *rendezvous, int32_t rank, int32_t size, int64_t timeout_ms, ct_group *out);
  void (*group_release)(ct_group group);
  /// 0 sum, 1 product, 2 minimum, 3 maximum. Like the next two it yields a new tensor.
  ct_status (*group_reduce)(ct_group group, ct_tensor tensor, int32_t operation, ct_tensor *out);
  ct_status (*group_broadcast)(ct_group group, ct_tensor tensor, int32_t root, ct_tensor *out);
  /// `size` results, in the order of the ranks; all shapes are equal.
  ct_status (*group_gather)(ct_group group, ct_tensor tensor, ct_tensor *out);
  ct_status (*group_barrier)(ct_group group);

  // The exact field of a data set that streams by: create, add rows in order, finish once, release. The same numbers give
  // the same bits on any number of threads and in any pieces.
  ct_status (*field_create)(const ct_field_options *options, ct_field *out);
  /// The next rows, [n, d]; `first` is the number of the first of them in the whole data set: where the last rows ended, or
  /// any multiple of CT_FIELD_BLOCK beyond where they ended at one. `log_weights` is float64 [n], or null for zeros.
  ct_status (*field_add)(ct_field field, ct_tensor rows, ct_tensor log_weights, int64_t first);
  /// No rows may follow.
  ct_status (*field_finish)(ct_field field, ct_field_sums *out);
  void (*field_release)(ct_field field);

  // TorchScript modules.
  /// A module of a file, for evaluation, with constant weights on a device.
  ct_status (*script_load)(const char *path, const char *device, ct_script *out);
  void (*script_release)(ct_script script);
  /// Its floating-point weights in another element type.
  ct_status (*script_convert)(ct_script script, int32_t type);
  /// Its answer, one tensor, to tensors. Derivatives are recorded as for operators.
  ct_status (*script_call)(ct_script script, const ct_tensor *inputs, int32_t count, ct_tensor *out);
} ct_engine;

typedef const ct_engine *(*ct_engine_entry)(void);

#ifdef __cplusplus
}
#endif
#endif
