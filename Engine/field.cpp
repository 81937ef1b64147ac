// The exact field of a data set: one stream over its rows, for a batch of queries.
//
// Rows come in blocks, by their number in the whole data set, and block i belongs to group ⌊i/2⌋ mod 8. Every group has sums of
// its own, to which its blocks are added in order; groups are joined in order at the end. So threads and pieces of data
// decide who computes and when, but never what. Within a group, points are added in two ways: many at a time by matrix
// products about the centre, and those that matter most one by one, by differences in float64.
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/TensorWrapper.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "handles.h"

namespace scorefield {
namespace {

constexpr int64_t block = CT_FIELD_BLOCK;
constexpr int64_t group_count = 8;
/// Blocks in a row that belong to one group: where there are few, few groups have to be joined.
constexpr int64_t run_length = 2;
/// Up to so many columns, products are no gain.
constexpr int64_t narrow_limit = 8;

struct Group;

/// What is asked, in the kernel's form. Logits are to base 2.
struct Query {
  int64_t dimension, count;
  /// Queries, filled up to whole vectors.
  int64_t lane_count;
  /// Vectors per panel of queries.
  int64_t vectors;
  bool narrow, exact;
  /// α, log₂e α/σ², log₂e α²/(2σ²) and log₂e/(2σ²).
  double alpha, gain, curvature, precision;
  /// In float64, [B, d]; the second may be missing.
  const double *queries, *directions;
  const double *centre;
  /// |r|² log₂e/(2σ²) and |r| of r = x − α c.
  const double *offsets, *norms;
  const int64_t *omitted;
  /// r and the directions, panel by panel, a column of a panel in a row; for few columns x, column by column.
  const void *lanes, *direction_lanes;
  const double *direction_few;
  /// In the type of the points, filled up to whole strips.
  const void *centre_narrow;
  void (*grow_exact)(const Query &, Group &, int64_t);
  void (*grow_sums)(const Query &, Group &, int64_t panel);
};

/// Sums of a group, per query, relative to 2^reference.
struct Group {
  double *reference, *top, *second;
  bool *started, *far;
  /// Points by products, about the centre: mass, Σ w |y|², Σ w y and Σ w (y·v) y, the last two scaled by `scale`.
  double *mass, *square, *scale;
  /// By panel of queries, [lanes, strips]; null until there is something to add.
  double **sum, **product;
  /// Points by differences e = α y − x, or e = y − c for far queries: mass, mean with product, and second moment about it.
  double *exact_mass, *exact_spread;
  double **exact;
  /// All of them where columns are few.
  double *few;
};

/// Up to `block` rows, the first of which has the number `first`.
struct Block {
  const void *values;
  const double *log_weights;
  int64_t first, count;
  /// The largest |y|.
  double radius;
  float *minima;
};

/// What a thread needs beside.
struct Scratch {
  void *packed, *logits, *projections, *bias, *squares_narrow;
  double *squares, *weights, *point;
};

int64_t group_of(const Block &rows) { return rows.first / (block * run_length) % group_count; }

/// 2ˣ, without the library's long way to a zero.
inline double exponential(double x) { return x < -1000 ? 0 : __builtin_exp2(x); }

struct Kernel {
  int bytes;
  void (*visit_single)(const Query &, Group &, const Block &, int64_t from, int64_t to, Scratch &);
  void (*visit_double)(const Query &, Group &, const Block &, int64_t from, int64_t to, Scratch &);
};

}  // namespace
}  // namespace scorefield

#if defined(__clang__)
#define FIELD_UNROLL _Pragma("unroll")
#else
#define FIELD_UNROLL _Pragma("GCC unroll 32")
#endif

namespace scorefield {
namespace {

#define FIELD_NAMESPACE portable
#define FIELD_BYTES 16
#if defined(__x86_64__)
#define FIELD_TILE 4
#else
#define FIELD_TILE 8
#endif
#include "field_kernel.h"
#undef FIELD_NAMESPACE
#undef FIELD_BYTES
#undef FIELD_TILE

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define FIELD_NAMESPACE avx2
#define FIELD_BYTES 32
#define FIELD_TILE 4
#include "field_kernel.h"
#undef FIELD_NAMESPACE
#undef FIELD_BYTES
#undef FIELD_TILE
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif
#define FIELD_NAMESPACE avx512
#define FIELD_BYTES 64
#define FIELD_TILE 8
#include "field_kernel.h"
#undef FIELD_NAMESPACE
#undef FIELD_BYTES
#undef FIELD_TILE
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

const Kernel &kernel() {
#if defined(__x86_64__)
  static const Kernel &chosen = [] () -> const Kernel & {
    // For tests of the narrower ones on a machine that has the wider.
    const char *limit = std::getenv("SCOREFIELD_VECTOR_BYTES");
    const int bytes = limit ? std::atoi(limit) : 64;
    __builtin_cpu_init();
    if (bytes >= 64 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
      return avx512::kernel;
    if (bytes >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::kernel;
    return portable::kernel;
  }();
  return chosen;
#else
  return portable::kernel;
#endif
}

/// Memory for vectors.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes, bool zero = false) {
    const size_t whole = (bytes + 63) / 64 * 64 + 64;
    data.reset(static_cast<char *>(std::aligned_alloc(64, whole)));
    TORCH_CHECK(data, "no memory for ", whole, " bytes");
    if (zero) std::memset(data.get(), 0, whole);
  }
  template <class T>
  T *as() const {
    return reinterpret_cast<T *>(data.get());
  }

 private:
  struct Free {
    void operator()(char *memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Free> data;
};

/// Runs task(0) … task(count − 1) on libtorch's threads; inside, its operations take one thread each.
template <class Task>
void run(int64_t count, Task &&task) {
  if (count <= 1 || at::get_num_threads() == 1 || at::in_parallel_region()) {
    for (int64_t i = 0; i < count; i++) task(i);
    return;
  }
  // An iterator over tickets, because at::parallel_for needs OpenMP in this compiler, and libtorch's own code does not.
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  auto tickets = at::empty({at::get_num_threads()}, at::TensorOptions().dtype(at::kByte));
  auto iterator = at::TensorIterator::nullary_op(tickets);
  iterator.for_each(
      [&](char **, const int64_t *, int64_t) {
        for (int64_t i; (i = next.fetch_add(1)) < count;) {
          try {
            task(i);
          } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
          }
        }
      },
      1);
  if (failure) std::rethrow_exception(failure);
}

using at::Tensor;

struct Field {
  Query query{};
  at::ScalarType type;
  at::TensorOptions options;
  int64_t width, panels, strips;
  Buffer queries, directions, centre, centre_narrow, offsets, norms, lanes, direction_lanes, direction_few;
  std::vector<int64_t> omitted, blocks;
  bool chosen = false, wants_minima = false, finished = false;

  struct Owner : Group {
    Field *field;
    std::vector<Buffer> memory;
    std::vector<double *> exact_rows, sum_panels, product_panels;
    double *grow(int64_t count);
  };
  std::mutex growing;
  std::array<Owner, group_count> groups;

  /// The next row, and rows of a block that is not whole yet.
  int64_t next = 0, pending_count = 0;
  Buffer pending;
  std::vector<double> pending_weights;
  std::vector<std::pair<int64_t, std::vector<float>>> minima;

  int64_t size() const { return type == at::kFloat ? 4 : 8; }

  explicit Field(const ct_field_options &asked);
  void add(const Tensor &rows, const double *log_weights, int64_t first);
  void visit(std::vector<Block> &blocks);
  void finish(ct_field_sums &out);

  template <class T>
  void pack(const double *rows, const double *shift, T *out) const;
  template <class T>
  void few(const double *rows, T *out) const;
  bool wanted(int64_t index) const {
    return !chosen || std::binary_search(blocks.begin(), blocks.end(), index);
  }
};

/// Zeros that live as long as the field. Tasks for other queries of the same group ask at the same time.
double *Field::Owner::grow(int64_t count) {
  Buffer fresh(sizeof(double) * count, true);
  auto found = fresh.as<double>();
  std::lock_guard<std::mutex> lock(field->growing);
  memory.push_back(std::move(fresh));
  return found;
}

void grow_exact(const Query &query, Group &group, int64_t b) {
  // For a whole panel: where one query meets points, its neighbours will.
  auto &owner = static_cast<Field::Owner &>(group);
  const auto panel = query.vectors * owner.field->width, size = query.dimension * (query.directions ? 2 : 1);
  auto memory = owner.grow(panel * size);
  for (int64_t lane = 0; lane < panel; lane++) group.exact[b / panel * panel + lane] = memory + lane * size;
}

void grow_sums(const Query &query, Group &group, int64_t panel) {
  auto &owner = static_cast<Field::Owner &>(group);
  const auto &field = *owner.field;
  const auto count = query.vectors * field.width * field.strips * (2 * field.width);
  group.sum[panel] = owner.grow(count);
  if (query.directions) group.product[panel] = owner.grow(count);
}

/// a·b in eight parts, which vectors can hold.
double dot(const double *a, const double *b, int64_t n) {
  double parts[8] = {};
  int64_t k = 0;
  for (; k + 8 <= n; k += 8)
    for (int i = 0; i < 8; i++) parts[i] += a[k + i] * b[k + i];
  for (; k < n; k++) parts[0] += a[k] * b[k];
  return ((parts[0] + parts[4]) + (parts[1] + parts[5])) + ((parts[2] + parts[6]) + (parts[3] + parts[7]));
}

bool plain(const Tensor &tensor) {
  return tensor.defined() && tensor.layout() == at::kStrided && !at::functorch::isBatchedTensor(tensor) &&
         !at::functorch::maybeGetTensorWrapper(tensor) && tensor.device().is_cpu() && tensor.has_storage() &&
         tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg() && !(records() && tensor.requires_grad()) &&
         !tensor._fw_grad(0).defined();
}

template <class T>
void Field::pack(const double *rows, const double *shift, T *out) const {
  const auto d = query.dimension, stride = strips * 2 * width, panel = query.vectors * width;
  for (int64_t b = 0; b < query.count; b++) {
    T *target = out + (b / panel) * stride * panel + b % panel;
    for (int64_t k = 0; k < d; k++) target[k * panel] = T(rows[b * d + k] - (shift ? query.alpha * shift[k] : 0));
  }
}

template <class T>
void Field::few(const double *rows, T *out) const {
  for (int64_t b = 0; b < query.count; b++)
    for (int64_t k = 0; k < query.dimension; k++) out[k * query.lane_count + b] = rows[b * query.dimension + k];
}

Field::Field(const ct_field_options &asked) {
  auto x = borrow(asked.queries);
  TORCH_CHECK(plain(x) && x.dim() == 2, "the queries must be a plain matrix");
  type = x.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble, "the queries must be float32 or float64");
  options = x.options();
  TORCH_CHECK(asked.sigma > 0 && std::isfinite(asked.alpha), "needs a positive σ and a finite α");
  const double log2e = 1.4426950408889634;
  auto &q = query;
  q.count = x.size(0), q.dimension = x.size(1);
  q.narrow = q.dimension <= narrow_limit && q.dimension > 0;
  q.exact = asked.exact;
  q.alpha = asked.alpha;
  q.precision = log2e / (2 * asked.sigma * asked.sigma);
  q.gain = 2 * q.alpha * q.precision;
  q.curvature = q.alpha * q.alpha * q.precision;
  width = kernel().bytes / (q.narrow ? 8 : size());
  q.vectors = q.narrow || q.count > width ? 2 : 1;
  panels = (q.count + q.vectors * width - 1) / (q.vectors * width);
  q.lane_count = panels * q.vectors * width;
  strips = (q.dimension + 2 * width - 1) / (2 * width);

  const auto d = q.dimension, count = q.count;
  auto doubles = [&](ct_tensor handle, const char *name) {
    auto tensor = borrow(handle);
    TORCH_CHECK(plain(tensor) && tensor.sizes() == x.sizes() && tensor.scalar_type() == type, "the ", name,
                " must be plain and like the queries");
    Buffer out(sizeof(double) * count * d);
    if (type == at::kFloat) std::copy_n(tensor.const_data_ptr<float>(), count * d, out.as<double>());
    else std::copy_n(tensor.const_data_ptr<double>(), count * d, out.as<double>());
    return out;
  };
  queries = doubles(asked.queries, "queries");
  q.queries = queries.as<double>();
  if (asked.directions) {
    directions = doubles(asked.directions, "directions");
    q.directions = directions.as<double>();
  }
  centre = Buffer(sizeof(double) * (d + 1), true);
  if (asked.centre) {
    auto given = borrow(asked.centre);
    TORCH_CHECK(plain(given) && given.scalar_type() == at::kDouble && given.numel() == d, "the centre must be float64 [",
                d, "]");
    std::copy_n(given.const_data_ptr<double>(), d, centre.as<double>());
  }
  q.centre = centre.as<double>();
  if (asked.omitted) {
    auto given = borrow(asked.omitted);
    TORCH_CHECK(plain(given) && given.scalar_type() == at::kLong && given.numel() == count,
                "the rows to leave out must be int64 [", count, "]");
    omitted.assign(given.const_data_ptr<int64_t>(), given.const_data_ptr<int64_t>() + count);
    q.omitted = omitted.data();
  }
  if (asked.blocks) {
    auto given = borrow(asked.blocks);
    TORCH_CHECK(plain(given) && given.scalar_type() == at::kLong && given.dim() == 1, "the blocks must be int64 [n]");
    blocks.assign(given.const_data_ptr<int64_t>(), given.const_data_ptr<int64_t>() + given.numel());
    TORCH_CHECK(std::is_sorted(blocks.begin(), blocks.end()), "the blocks must ascend");
    chosen = true;
  }
  wants_minima = asked.minima;

  if (q.narrow) {
    lanes = Buffer(sizeof(double) * q.lane_count * d, true);
    few(q.queries, lanes.as<double>());
    if (q.directions) {
      direction_few = Buffer(sizeof(double) * q.lane_count * d, true);
      few(q.directions, direction_few.as<double>());
      q.direction_few = direction_few.as<double>();
    }
  } else {
    const auto stride = strips * 2 * width;
    norms = Buffer(sizeof(double) * q.lane_count, true);
    offsets = Buffer(sizeof(double) * q.lane_count, true);
    for (int64_t b = 0; b < count; b++) {
      double sum = 0;
      for (int64_t k = 0; k < d; k++) {
        double r = q.queries[b * d + k] - q.alpha * q.centre[k];
        sum += r * r;
      }
      norms.as<double>()[b] = std::sqrt(sum);
      offsets.as<double>()[b] = sum * q.precision;
    }
    q.norms = norms.as<double>(), q.offsets = offsets.as<double>();
    centre_narrow = Buffer(size() * stride, true);
    lanes = Buffer(size() * q.lane_count * stride, true);
    if (q.directions) direction_lanes = Buffer(size() * q.lane_count * stride, true);
    auto fill = [&](auto zero) {
      using T = decltype(zero);
      std::copy_n(q.centre, d, centre_narrow.as<T>());
      pack(q.queries, q.centre, lanes.as<T>());
      if (q.directions) pack(q.directions, nullptr, direction_lanes.as<T>());
    };
    if (type == at::kFloat) fill(float());
    else fill(double());
    q.centre_narrow = centre_narrow.as<void>();
    q.direction_lanes = direction_lanes.as<void>();
  }
  q.lanes = lanes.as<void>();
  q.grow_exact = grow_exact, q.grow_sums = grow_sums;

  for (auto &group : groups) {
    static_cast<Group &>(group) = {};
    group.field = this;
    if (q.narrow) {
      group.memory.emplace_back(sizeof(double) * q.lane_count * (4 + 3 * d), true);
      group.few = group.memory.back().as<double>();
      continue;
    }
    group.memory.emplace_back(sizeof(double) * q.lane_count * 9, true);
    auto memory = group.memory.back().as<double>();
    auto take = [&](double value) {
      std::fill_n(memory, q.lane_count, value);
      return std::exchange(memory, memory + q.lane_count);
    };
    group.reference = take(-1e30), group.top = take(-1e30), group.second = take(-1e30);
    group.mass = take(0), group.square = take(0), group.scale = take(1);
    group.exact_mass = take(0), group.exact_spread = take(0);
    group.started = reinterpret_cast<bool *>(memory), group.far = group.started + q.lane_count;
    std::memset(memory, 0, 2 * q.lane_count);
    group.exact_rows.assign(q.lane_count, nullptr);
    group.sum_panels.assign(panels, nullptr);
    group.product_panels.assign(panels, nullptr);
    group.exact = group.exact_rows.data();
    group.sum = group.sum_panels.data(), group.product = group.product_panels.data();
  }
}

void Field::visit(std::vector<Block> &found) {
  if (found.empty() || query.count == 0) return;
  if (wants_minima)
    for (auto &rows : found) {
      minima.emplace_back(rows.first / block, std::vector<float>(query.lane_count));
      rows.minima = minima.back().second.data();
    }
  // Queries at a time: their logits are to stay in cache.
  const int64_t panel = query.vectors * width, step = std::max<int64_t>(1, block / panel);
  const int64_t parts = (panels + step - 1) / step;
  const int64_t stride = strips * 2 * width;
  run(parts * group_count, [&](int64_t task) {
    const int64_t from = task / group_count * step, to = std::min(panels, from + step), group = task % group_count;
    if (std::none_of(found.begin(), found.end(), [&](auto &rows) { return group_of(rows) == group; }))
      return;
    Scratch scratch{};
    const auto bytes = query.narrow ? 8 : size();
    Buffer logits(bytes * block * panel * (query.narrow ? 1 : to - from));
    Buffer small(8 * block * 4), point(8 * (query.narrow ? block * query.dimension : query.dimension)), packed, projections;
    scratch.logits = logits.as<void>();
    scratch.squares = small.as<double>(), scratch.weights = scratch.squares + block;
    scratch.bias = scratch.weights + block, scratch.squares_narrow = scratch.weights + 2 * block;
    scratch.point = point.as<double>();
    if (!query.narrow) {
      packed = Buffer(bytes * block * stride);
      scratch.packed = packed.as<void>();
      if (query.directions) {
        projections = Buffer(bytes * block * panel * (to - from));
        scratch.projections = projections.as<void>();
      }
    }
    auto visit = type == at::kFloat ? kernel().visit_single : kernel().visit_double;
    for (auto &rows : found)
      if (group_of(rows) == group) visit(query, groups[group], rows, from, to, scratch);
  });
}

void Field::add(const Tensor &rows, const double *log_weights, int64_t first) {
  TORCH_CHECK(!finished, "rows came after the end");
  const auto d = query.dimension, n = rows.size(0);
  TORCH_CHECK(first == next || (pending_count == 0 && first > next && first % block == 0), "rows from ", first,
              " cannot follow those up to ", next);
  next = first + n;
  auto data = static_cast<const char *>(rows.const_data_ptr());
  auto at = [&](int64_t i) { return data + i * d * size(); };
  std::vector<Block> found;
  int64_t i = 0;
  auto keep = [&](int64_t count) {
    if (!count) return;
    if (!pending.as<char>()) pending = Buffer(size() * block * std::max<int64_t>(d, 1));
    std::memcpy(pending.as<char>() + pending_count * d * size(), at(i), count * d * size());
    pending_weights.resize(block);
    for (int64_t j = 0; j < count; j++) pending_weights[pending_count + j] = log_weights ? log_weights[i + j] : 0;
    pending_count += count;
    i += count;
  };
  if (pending_count) {
    keep(std::min(n, block - pending_count));
    if (pending_count == block) {
      int64_t start = first + i - block;
      if (wanted(start / block)) found.push_back({pending.as<void>(), pending_weights.data(), start, block, 0, nullptr});
    }
  }
  for (; i + block <= n; i += block)
    if (wanted((first + i) / block))
      found.push_back({at(i), log_weights ? log_weights + i : nullptr, first + i, block, 0, nullptr});
  visit(found);
  if (pending_count == block) pending_count = 0;
  keep(n - i);
}

void Field::finish(ct_field_sums &out) {
  TORCH_CHECK(!finished, "the field was finished before");
  finished = true;
  if (pending_count) {
    std::vector<Block> found;
    int64_t start = next - pending_count;
    if (wanted(start / block)) found.push_back({pending.as<void>(), pending_weights.data(), start, pending_count, 0, nullptr});
    visit(found);
  }
  const auto d = query.dimension, count = query.count;
  auto log_sum = at::empty({count}, options), spread = at::empty({count}, options);
  auto mean = at::empty({count, d}, options), score = at::empty({count, d}, options), product = Tensor();
  auto lost = at::zeros({count}, options.dtype(at::kBool));
  if (query.directions) product = at::empty({count, d}, options);

  const double variance = 1.4426950408889634 / (2 * query.precision), alpha = query.alpha;
  const int64_t step = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(d, 1));
  run((count + step - 1) / step, [&](int64_t task) {
    std::vector<double> memory(8 * std::max<int64_t>(d, 1));
    double *mean_d = memory.data(), *product_d = mean_d + d, *mean_e = product_d + d, *product_e = mean_e + d,
           *shift = product_e + d, *other = shift + d, *r = other + d, *answer = r + d;
    for (int64_t b = task * step; b < std::min(count, (task + 1) * step); b++) {
      const double *x = query.queries + b * d, *v = query.directions ? query.directions + b * d : nullptr;
      std::fill(memory.begin(), memory.end(), 0);
      double log_of_sum, mass, second;
      auto put = [&](const Tensor &tensor, const double *values) {
        if (type == at::kFloat) std::copy_n(values, d, tensor.data_ptr<float>() + b * d);
        else std::copy_n(values, d, tensor.data_ptr<double>() + b * d);
      };
      auto put_one = [&](const Tensor &tensor, double value) {
        if (type == at::kFloat) tensor.data_ptr<float>()[b] = float(value);
        else tensor.data_ptr<double>()[b] = value;
      };
      // Joins moments of a mass about their mean, which is in `other`, with those in mean_e: nothing cancels.
      double exact_mass = 0, exact_spread = 0;
      auto join = [&](double added, double spread, const double *products, double factor, double *mean, double *product,
                      double &mass, double &total_spread) {
        if (!(added > 0)) return;
        if (mass == 0) {
          std::copy_n(other, d, mean);
          if (v)
            for (int64_t k = 0; k < d; k++) product[k] = products ? products[k] * factor : 0;
          mass = added, total_spread = spread;
          return;
        }
        const double total = mass + added;
        const double fraction = added / total, coupling = mass * fraction;
        for (int64_t k = 0; k < d; k++) shift[k] = other[k] - mean[k];
        const double norm = dot(shift, shift, d), along = v ? dot(shift, v, d) : 0;
        total_spread += spread + coupling * norm;
        for (int64_t k = 0; k < d; k++) mean[k] += fraction * shift[k];
        if (v)
          for (int64_t k = 0; k < d; k++) product[k] += (products ? products[k] * factor : 0) + coupling * along * shift[k];
        mass = total;
      };

      if (query.narrow) {
        const auto stride = query.lane_count;
        // The best point of all groups: all logits are relative to its, which is subtracted by way of differences.
        const double *base = nullptr;
        double base_bias = 0;
        std::array<double, group_count> levels{};
        auto relate = [&] {
          const double *larger = nullptr;
          double bias = 0, largest = 0;
          for (auto &group : groups) {
            const double *few = group.few + b, *best = few + 4 * stride;
            if (few[2 * stride] == 0) continue;
            if (!base) base = best, base_bias = few[3 * stride];
            double relative = few[3 * stride] - base_bias;
            for (int64_t k = 0; k < d; k++) {
              const double y = best[k * stride], y0 = base[k * stride];
              relative += (y - y0) * (query.gain * x[k] - query.curvature * (y + y0));
            }
            levels[&group - groups.data()] = relative;
            if (relative > largest) larger = best, bias = few[3 * stride], largest = relative;
          }
          if (!larger) return false;
          base = larger, base_bias = bias;
          return true;
        };
        if (relate()) relate();
        mass = 0, second = 0;
        for (auto &group : groups) {
          const double *few = group.few + b, *best = few + 4 * stride, *sum = best + d * stride, *products = sum + d * stride;
          if (few[2 * stride] == 0) continue;
          const double factor = exponential(levels[&group - groups.data()]), m = few[0];
          double norm = 0, along = 0;
          for (int64_t k = 0; k < d; k++) {
            const double e = sum[k * stride] / m;
            other[k] = best[k * stride] - base[k * stride] + e;
            norm += e * e;
            if (v) along += e * v[k];
          }
          if (v)
            for (int64_t k = 0; k < d; k++) r[k] = products[k * stride] - along * sum[k * stride];
          // About a point, so that the score loses nothing either.
          join(factor * m, factor * (few[stride] - m * norm), r, factor, mean_e, product_e, mass, second);
        }
        double own = base ? base_bias : 0;
        for (int64_t k = 0; k < d; k++) {
          const double e = base ? x[k] - alpha * base[k * stride] : 0;
          own -= query.precision * e * e;
        }
        log_of_sum = own + std::log2(mass);
        for (int64_t k = 0; k < d; k++) answer[k] = base ? base[k * stride] + mean_e[k] : NAN;
        put(mean, answer);
        for (int64_t k = 0; k < d; k++)
          answer[k] = base ? (alpha * base[k * stride] - x[k] + alpha * mean_e[k]) / variance : NAN;
        put(score, answer);
        if (v) {
          for (int64_t k = 0; k < d; k++) answer[k] = product_e[k] / mass;
          put(product, answer);
        }
      } else {
        for (int64_t k = 0; k < d; k++) r[k] = x[k] - alpha * query.centre[k];
        // Far queries have logits about the centre; a group that began near has them about the query.
        bool far = true;
        for (auto &group : groups)
          if (group.started[b]) far = far && group.far[b];
        auto reference_of = [&](const Group &group) {
          return group.reference[b] - (group.far[b] && !far ? query.offsets[b] : 0);
        };
        double reference = -1e30;
        for (auto &group : groups)
          if (group.started[b]) reference = std::max(reference, reference_of(group));
        double dense_mass = 0, dense_square = 0;
        const int64_t stride = strips * 2 * width, panel = query.vectors * width;
        const double unit = far ? 1 : alpha;
        for (auto &group : groups) {
          if (!group.started[b]) continue;
          const double factor = exponential(reference_of(group) - reference);
          dense_mass += factor * group.mass[b];
          dense_square += factor * group.square[b];
          if (group.sum[b / panel] && group.mass[b] > 0) {
            const double scale = factor * group.scale[b];
            const double *sum = group.sum[b / panel] + b % panel * stride;
            for (int64_t k = 0; k < d; k++) mean_d[k] += scale * sum[k];
            if (v) {
              const double *product = group.product[b / panel] + b % panel * stride;
              for (int64_t k = 0; k < d; k++) product_d[k] += scale * product[k];
            }
          }
          if (group.exact[b] && group.exact_mass[b] > 0) {
            const double *mean = group.exact[b];
            // In the units of the whole.
            const double conversion = group.far[b] && !far ? alpha : 1;
            for (int64_t k = 0; k < d; k++) other[k] = group.far[b] && !far ? alpha * mean[k] - r[k] : mean[k];
            join(factor * group.exact_mass[b], factor * conversion * conversion * group.exact_spread[b], mean + d,
                 factor * conversion * conversion, mean_e, product_e, exact_mass, exact_spread);
          }
        }
        mass = 0, second = 0;
        double *total_mean = answer, *total_product = shift;
        double share = exact_mass / (exact_mass + dense_mass);
        double norm = 0, along = 0;
        if (dense_mass > 0) {
          for (int64_t k = 0; k < d; k++) mean_d[k] /= dense_mass;
          norm = dot(mean_d, mean_d, d);
          if (v) along = dot(mean_d, v, d);
          second = std::max(0.0, dense_square - dense_mass * norm);
          if (v)
            for (int64_t k = 0; k < d; k++) product_d[k] -= dense_mass * along * mean_d[k];
        }
        mass = dense_mass + exact_mass;
        log_of_sum = std::log2(mass) + reference - (far ? query.offsets[b] : 0);
        // The means of both kinds about the centre, their score, and the second moments of both together.
        double gap = 0, gap_along = 0;
        if (exact_mass > 0) {
          second += exact_spread / (unit * unit);
          for (int64_t k = 0; k < d; k++) {
            const double about = far ? mean_e[k] : (mean_e[k] + r[k]) / alpha;
            other[k] = dense_mass > 0 ? about - mean_d[k] : 0;
          }
          gap = dot(other, other, d);
          if (v) gap_along = dot(other, v, d);
          second += dense_mass * share * gap;
        }
        for (int64_t k = 0; k < d; k++) {
          double exact = 0, slope = 0;
          if (exact_mass > 0) {
            exact = far ? mean_e[k] : (mean_e[k] + r[k]) / alpha;
            slope = far ? alpha * mean_e[k] - r[k] : mean_e[k];
          }
          const double dense = dense_mass > 0 ? mean_d[k] : 0;
          total_mean[k] = query.centre[k] + (1 - share) * dense + share * exact;
          product_d[k] = (product_d[k] + product_e[k] / (unit * unit) + dense_mass * share * gap_along * other[k]) / mass;
          total_product[k] = ((1 - share) * (alpha * dense - r[k]) + share * slope) / variance;
        }
        put(mean, total_mean);
        put(score, total_product);
        if (v) put(product, product_d);
        // What products of this type lose of the second moment about the centre.
        const double digits = type == at::kFloat ? 0x1p-4 : 0x1p-20;
        lost.data_ptr<bool>()[b] = !query.exact && second < digits * dense_square;
      }
      put_one(log_sum, log_of_sum * 0.69314718055994531);
      put_one(spread, second / mass);
    }
  });

  out = {};
  if (wants_minima) {
    const int64_t total = (next + block - 1) / block;
    auto least = at::full({count, total}, std::numeric_limits<float>::infinity(), options.dtype(at::kFloat));
    for (auto &[index, values] : minima)
      for (int64_t b = 0; b < count; b++) least.data_ptr<float>()[b * total + index] = values[b];
    out.minima = yield(std::move(least));
  }
  out.log_sum = yield(std::move(log_sum)), out.mean = yield(std::move(mean)), out.score = yield(std::move(score));
  out.spread = yield(std::move(spread)), out.lost = yield(std::move(lost));
  out.product = product.defined() ? yield(std::move(product)) : nullptr;
}

}  // namespace

bool is_plain(ct_tensor tensor) { return plain(borrow(tensor)); }

ct_status field_create(const ct_field_options *options, ct_field *out) {
  return guarded([&] {
    BelowLayers below;
    *out = reinterpret_cast<ct_field>(new Field(*options));
  });
}

ct_status field_add(ct_field handle, ct_tensor rows, ct_tensor log_weights, int64_t first) {
  return guarded([&] {
    follow_threads();
    BelowLayers below;
    at::NoGradGuard unrecorded;
    auto &field = *reinterpret_cast<Field *>(handle);
    auto tensor = borrow(rows);
    TORCH_CHECK(plain(tensor) && tensor.dim() == 2 && tensor.size(1) == field.query.dimension &&
                    tensor.scalar_type() == field.type,
                "the rows must be a plain matrix, as wide as the queries and of their type");
    const double *weights = nullptr;
    if (log_weights) {
      auto given = borrow(log_weights);
      TORCH_CHECK(plain(given) && given.scalar_type() == at::kDouble && given.numel() == tensor.size(0),
                  "the logarithms of weights must be float64 [", tensor.size(0), "]");
      weights = given.const_data_ptr<double>();
    }
    field.add(tensor, weights, first);
  });
}

ct_status field_finish(ct_field handle, ct_field_sums *out) {
  return guarded([&] {
    follow_threads();
    BelowLayers below;
    at::NoGradGuard unrecorded;
    reinterpret_cast<Field *>(handle)->finish(*out);
  });
}

void field_release(ct_field handle) { delete reinterpret_cast<Field *>(handle); }

}  // namespace scorefield
