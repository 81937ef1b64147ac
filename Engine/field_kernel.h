// The arithmetic of the exact field, once per kind of processor: included several times, with the namespace and the width of a
// vector as macros. Nothing here comes from a library, so that no inline function of one processor is linked for another.
//
// A block of rows is copied into strips of columns, about the centre. Two products run over the copy while it is hot:
// logits S = Y Rᵀ, whose columns are queries (they fill the vectors, and never meet one another), then sums Wᵀ Y. The order of
// additions within an element does not depend on how many queries or threads there are.

namespace FIELD_NAMESPACE {

template <class T>
struct Types;
template <>
struct Types<float> {
  typedef float V __attribute__((vector_size(FIELD_BYTES), aligned(4), may_alias));
  typedef int I __attribute__((vector_size(FIELD_BYTES), aligned(4), may_alias));
  static constexpr float magic = 12582912.f;  // 1.5 · 2²³: adding it rounds to an integer, in the low bits
  static constexpr int shift = 23, degree = 7;
  // Below, an exponent is no weight: so nothing is denormal, and denormals cost three times as much.
  static constexpr float floor = -100;
  static constexpr double epsilon = 0x1p-24, tolerance = 5e-6, span = 36;
};
template <>
struct Types<double> {
  typedef double V __attribute__((vector_size(FIELD_BYTES), aligned(8), may_alias));
  typedef long long I __attribute__((vector_size(FIELD_BYTES), aligned(8), may_alias));
  static constexpr double magic = 6755399441055744.;  // 1.5 · 2⁵²
  static constexpr int shift = 52, degree = 13;
  static constexpr double floor = -900;
  static constexpr double epsilon = 0x1p-53, tolerance = 1e-12, span = 100;
};

template <class T>
constexpr int width = FIELD_BYTES / int(sizeof(T));
/// Columns of a strip.
template <class T>
constexpr int64_t strip = 2 * width<T>;
/// Strips the first product takes at a time: they stay in the second cache while all queries meet them.
constexpr int64_t chunk = 8;
/// Rows of a register tile; with two vectors each, the accumulators must fit the registers.
constexpr int tile = FIELD_TILE;

constexpr double nothing = -1e30;

#define FIELD_INLINE static inline __attribute__((always_inline))

/// ln(2)ⁿ/n!: the series of 2ˣ, for |x| ≤ 1/2.
constexpr double series[14] = {
    1,
    0.69314718055994531,
    0.24022650695910072,
    0.055504108664821580,
    0.0096181291076284772,
    0.0013333558146428443,
    0.00015403530393381610,
    1.5252733804059840e-05,
    1.3215486790144309e-06,
    1.0178086009239699e-07,
    7.0549116208011233e-09,
    4.4455382718708115e-10,
    2.5678435993488204e-11,
    1.3691488853904128e-12,
};

/// 2ˣ for x above the type's floor.
template <class T, int degree>
FIELD_INLINE typename Types<T>::V power(typename Types<T>::V x) {
  using V = typename Types<T>::V;
  using I = typename Types<T>::I;
  V rounded = x + Types<T>::magic;
  V rest = x - (rounded - Types<T>::magic);
  V sum = V{} + T(series[degree]);
  FIELD_UNROLL for (int n = degree - 1; n >= 0; n--) sum = sum * rest + T(series[n]);
  return (V)((I)sum + ((I)rounded << Types<T>::shift));
}

template <class V>
FIELD_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
FIELD_INLINE V smaller(V a, V b) {
  return a < b ? a : b;
}

// ------------------------------------------------------------------------------------------------------------ copying

/// Copies columns of the strips [from, to) of the rows [begin, n), about the centre, and adds their |y|² to `squares`.
template <class Store, class T>
FIELD_INLINE void copy(const Query &query, const Store *rows, int64_t begin, int64_t n, int64_t from, int64_t to,
                       const T *centre, T *out, double *squares) {
  using V = typename Types<T>::V;
  typedef Store S __attribute__((vector_size(width<T> * sizeof(Store)), aligned(sizeof(Store)), may_alias));
  const int64_t d = query.dimension;
  for (int64_t i = begin; i < n; i++) {
    const Store *row = rows + i * d;
    V square{};
    double tail = 0;
    for (int64_t s = from; s < to; s++) {
      if (s > from && s % chunk == 0) {
        // As if every chunk were copied alone.
        for (int k = 0; k < width<T>; k++) tail += square[k];
        squares[i] += tail;
        square = V{}, tail = 0;
      }
      T *target = out + (s * block + i) * strip<T>;
      int64_t column = s * strip<T>;
      if (column + strip<T> <= d) {
        FIELD_UNROLL for (int v = 0; v < 2; v++, column += width<T>) {
          V y = __builtin_convertvector(*(const S *)(row + column), V) - *(const V *)(centre + column);
          *(V *)(target + v * width<T>) = y;
          square += y * y;
        }
      } else {
        for (int64_t k = 0; k < strip<T>; k++, column++) {
          T y = column < d ? T(row[column]) - centre[column] : T(0);
          target[k] = y;
          tail += double(y) * y;
        }
      }
    }
    for (int k = 0; k < width<T>; k++) tail += square[k];
    squares[i] += tail;
  }
  // The register tile is always whole.
  for (int64_t i = n; i % tile; i++)
    for (int64_t s = from; s < to; s++)
      for (int64_t k = 0; k < strip<T>; k++) out[(s * block + i) * strip<T> + k] = 0;
}

// ----------------------------------------------------------------------------------------------------------- products

/// A register tile of logits: `tile` rows of `count` strips times a panel of queries.
template <class T, int NV>
FIELD_INLINE void dots(const T *rows, const T *lanes, int64_t count, T *out, bool add) {
  using V = typename Types<T>::V;
  constexpr int64_t panel = NV * width<T>;
  V sum[tile][NV];
  FIELD_UNROLL for (int i = 0; i < tile; i++) FIELD_UNROLL for (int v = 0; v < NV; v++) sum[i][v] = V{};
  for (int64_t s = 0; s < count; s++, rows += block * strip<T>)
    for (int64_t k = 0; k < strip<T>; k++, lanes += panel) {
      V x[NV];
      FIELD_UNROLL for (int v = 0; v < NV; v++) x[v] = *(const V *)(lanes + v * width<T>);
      FIELD_UNROLL for (int i = 0; i < tile; i++) {
        V y = rows[i * strip<T> + k] - V{};
        FIELD_UNROLL for (int v = 0; v < NV; v++) sum[i][v] += y * x[v];
      }
    }
  FIELD_UNROLL for (int i = 0; i < tile; i++) FIELD_UNROLL for (int v = 0; v < NV; v++) {
    V *target = (V *)(out + i * panel + v * width<T>);
    *target = add ? *target + sum[i][v] : sum[i][v];
  }
}

/// A register tile of sums: the weights of `R` queries times a strip, added to sums in float64 after these are scaled.
template <class T, int R>
FIELD_INLINE void fold(const T *weights, int64_t panel, const T *rows, int64_t n, const double *scale, double *sums,
                       int64_t stride) {
  using V = typename Types<T>::V;
  V sum[R][2];
  FIELD_UNROLL for (int i = 0; i < R; i++) FIELD_UNROLL for (int v = 0; v < 2; v++) sum[i][v] = V{};
  for (int64_t k = 0; k < n; k++, rows += strip<T>, weights += panel) {
    V y[2];
    FIELD_UNROLL for (int v = 0; v < 2; v++) y[v] = *(const V *)(rows + v * width<T>);
    FIELD_UNROLL for (int i = 0; i < R; i++) {
      V w = weights[i] - V{};
      FIELD_UNROLL for (int v = 0; v < 2; v++) sum[i][v] += w * y[v];
    }
  }
  FIELD_UNROLL for (int i = 0; i < R; i++) {
    T fresh[strip<T>];
    FIELD_UNROLL for (int v = 0; v < 2; v++) *(V *)(fresh + v * width<T>) = sum[i][v];
    double *target = sums + i * stride;
    const double factor = scale[i];
    for (int64_t k = 0; k < strip<T>; k++) target[k] = target[k] * factor + fresh[k];
  }
}

template <class T>
static void fold_panel(const T *weights, int64_t panel, int64_t count, const T *rows, int64_t n, const double *scale,
                       double *sums, int64_t stride) {
  for (int64_t s = 0; s < stride / strip<T>; s++, rows += block * strip<T>, sums += strip<T>) {
    int64_t b = 0;
    for (; b + tile <= count; b += tile) fold<T, tile>(weights + b, panel, rows, n, scale + b, sums + b * stride, stride);
    switch (count - b) {
      case 0: break;
      case 1: fold<T, 1>(weights + b, panel, rows, n, scale + b, sums + b * stride, stride); break;
      case 2: fold<T, 2>(weights + b, panel, rows, n, scale + b, sums + b * stride, stride); break;
      // There is room for whole tiles, and the weights there are zero.
      default: fold<T, tile>(weights + b, panel, rows, n, scale + b, sums + b * stride, stride);
    }
  }
}

// ------------------------------------------------------------------------------------------- single points, in float64

/// Makes a larger logit the one all weights are relative to.
FIELD_INLINE void raise(const Query &query, Group &group, int64_t b, double reference) {
  double factor = exponential(group.reference[b] - reference);
  group.reference[b] = reference;
  group.mass[b] *= factor;
  group.square[b] *= factor;
  group.scale[b] *= factor;
  group.exact_mass[b] *= factor;
  group.exact_spread[b] *= factor;
  if (query.directions && group.exact[b])
    for (int64_t k = 0; k < query.dimension; k++) group.exact[b][query.dimension + k] *= factor;
}

/// Adds one point to the moments of one query, by differences: about the query, or about the centre where the query is so
/// far off that the points look alike from there. The mean moves with every point, so that nothing cancels.
template <class Store>
static void meet(const Query &query, Group &group, const Store *row, double log_weight, int64_t b, bool raising,
                 double *scratch) {
  typedef double V __attribute__((vector_size(FIELD_BYTES), aligned(8), may_alias));
  typedef Store S __attribute__((vector_size(FIELD_BYTES / 8 * sizeof(Store)), aligned(sizeof(Store)), may_alias));
  constexpr int w = FIELD_BYTES / 8;
  const int64_t d = query.dimension;
  if (!group.exact[b]) query.grow_exact(query, group, b);
  const bool far = group.far[b];
  const double *x = query.queries + b * d, *c = query.centre, *v = query.directions ? query.directions + b * d : x;
  const double *origin = far ? c : x;
  const double scale = far ? 1 : query.alpha;
  double *mean = group.exact[b], *product = mean + d;

  V square_v{}, shift_v{}, along_v{}, dot_v{};
  double square = 0, shift = 0, along = 0, dot = 0;
  int64_t k = 0;
  for (; k + w <= d; k += w) {
    V e = __builtin_convertvector(*(const S *)(row + k), V) * scale - *(const V *)(origin + k);
    V delta = e - *(const V *)(mean + k);
    *(V *)(scratch + k) = delta;
    square_v += e * e;
    shift_v += delta * delta;
    along_v += delta * *(const V *)(v + k);
    if (far) dot_v += e * (*(const V *)(x + k) - query.alpha * *(const V *)(c + k));
  }
  for (; k < d; k++) {
    double e = row[k] * scale - origin[k], delta = e - mean[k];
    scratch[k] = delta;
    square += e * e;
    shift += delta * delta;
    along += delta * v[k];
    if (far) dot += e * (x[k] - query.alpha * c[k]);
  }
  for (int i = 0; i < w; i++) square += square_v[i], shift += shift_v[i], along += along_v[i], dot += dot_v[i];

  double logit = far ? query.gain * dot - query.curvature * square : -query.precision * square;
  logit += log_weight;
  if (raising && logit > group.reference[b]) raise(query, group, b, logit);
  double weight = exponential(logit - group.reference[b]);
  if (weight == 0) return;
  double before = group.exact_mass[b], total = before + weight;
  double fraction = weight / total, coupling = before * fraction;
  group.exact_mass[b] = total;
  group.exact_spread[b] += coupling * shift;
  for (int64_t k = 0; k < d; k++) mean[k] += fraction * scratch[k];
  if (query.directions)
    for (int64_t k = 0; k < d; k++) product[k] += coupling * along * scratch[k];
}

// ------------------------------------------------------------------------------------------- blocks, by matrix products

/// Whether any number of a row reaches its lane's bound.
template <class T, int NV>
FIELD_INLINE bool reached(const T *row, const typename Types<T>::V *bounds) {
  using V = typename Types<T>::V;
  auto found = *(const V *)row >= bounds[0];
  FIELD_UNROLL for (int v = 1; v < NV; v++) found |= *(const V *)(row + v * width<T>) >= bounds[v];
  auto any = found[0];
  FIELD_UNROLL for (int k = 1; k < width<T>; k++) any |= found[k];
  return any;
}

/// What a panel of queries has to say about the block whose logits, about the centre, are in `logits`; leaves weights there.
template <class Store, class T, int NV>
static bool weigh(const Query &query, Group &group, const Block &rows, T *logits, T *projections, int64_t first, int64_t count,
                  Scratch &scratch) {
  using V = typename Types<T>::V;
  constexpr int64_t panel = NV * width<T>;
  const int64_t n = rows.count;
  const T *bias = (const T *)scratch.bias, *squares = (const T *)scratch.squares_narrow;
  const T gain = T(query.gain);
  alignas(64) T top[panel], second[panel], here[panel], shift[panel], cut[panel];

  for (int64_t lane = 0; lane < panel; lane++) {
    top[lane] = lane < count ? T(group.top[first + lane]) : T(nothing);
    second[lane] = lane < count ? T(group.second[first + lane]) : T(nothing);
  }
  if (query.omitted)
    for (int64_t lane = 0; lane < count; lane++) {
      int64_t place = query.omitted[first + lane] - rows.first;
      if (place >= 0 && place < n) logits[place * panel + lane] = -__builtin_inff();
    }

  // The two largest logits so far: the second largest says what the trace consists of where one point has all the mass.
  {
    V m1[NV], m2[NV], mh[NV];
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      m1[v] = *(V *)(top + v * width<T>);
      m2[v] = *(V *)(second + v * width<T>);
      mh[v] = V{} + T(nothing);
    }
    for (int64_t i = 0; i < n; i++) {
      T offset = bias[i];
      FIELD_UNROLL for (int v = 0; v < NV; v++) {
        V *place = (V *)(logits + i * panel + v * width<T>);
        V logit = *place * gain + offset;
        *place = logit;
        m2[v] = larger(m2[v], smaller(m1[v], logit));
        m1[v] = larger(m1[v], logit);
        mh[v] = larger(mh[v], logit);
      }
    }
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      *(V *)(top + v * width<T>) = m1[v];
      *(V *)(second + v * width<T>) = m2[v];
      *(V *)(here + v * width<T>) = mh[v];
    }
  }

  bool any = false;
  const double root = __builtin_sqrt(double(query.dimension));
  alignas(64) bool smooth[panel], single[panel];
  alignas(64) T bounds[panel];
  bool searching = false;
  for (int64_t lane = 0; lane < panel; lane++) {
    shift[lane] = 0;
    cut[lane] = T(__builtin_inff());
    bounds[lane] = T(__builtin_inff());
    smooth[lane] = single[lane] = false;
    if (lane >= count || !(top[lane] > T(nothing))) continue;
    const int64_t b = first + lane;
    group.top[b] = top[lane];
    group.second[b] = second[lane];
    const double reach = query.norms[b] * rows.radius;
    if (!group.started[b]) {
      group.started[b] = true;
      group.far[b] = query.norms[b] > 8 * query.alpha * rows.radius;
    }
    const double offset = group.far[b] ? 0 : query.offsets[b];
    // Roundings of a long product are independent of one another where its terms have both signs, and follow its value
    // where they have one.
    const double error = Types<T>::epsilon * (4 * query.gain * reach / root + __builtin_fabs(double(top[lane])) +
                                              query.curvature * rows.radius * rows.radius);
    smooth[lane] = !query.exact && error <= Types<T>::tolerance;
    if (smooth[lane]) {
      double reference = double(top[lane]) - offset;
      if (reference > group.reference[b]) raise(query, group, b, reference);
      continue;
    }
    single[lane] = query.exact || error > 0.125;
    // What is so much smaller than the second largest may be so much less exact.
    double depth = 1 + __builtin_log2(error / Types<T>::tolerance);
    if (single[lane] || depth > Types<T>::span) depth = Types<T>::span;
    // The error is a typical one; of many logits some are several times as far off.
    const T bound = T(double(second[lane]) - depth - 8 * error);
    bounds[lane] = bound > T(nothing) ? bound : T(nothing);
    searching = searching || here[lane] >= bounds[lane];
  }

  if (searching) {
    V least[NV];
    FIELD_UNROLL for (int v = 0; v < NV; v++) least[v] = *(V *)(bounds + v * width<T>);
    for (int64_t i = 0; i < n; i++) {
      if (!reached<T, NV>(logits + i * panel, least)) continue;
      for (int64_t lane = 0; lane < count; lane++) {
        T &logit = logits[i * panel + lane];
        if (!(logit >= bounds[lane])) continue;
        meet(query, group, (const Store *)rows.values + i * query.dimension, rows.log_weights ? scratch.weights[i] : 0,
             first + lane, true, scratch.point);
        logit = -__builtin_inff();
      }
    }
  }

  for (int64_t lane = 0; lane < count; lane++) {
    const int64_t b = first + lane;
    if (!(top[lane] > T(nothing))) continue;
    const double level = group.reference[b] + (group.far[b] ? 0 : query.offsets[b]);
    shift[lane] = T(level);
    cut[lane] = Types<T>::floor;
    if (single[lane]) cut[lane] = T(__builtin_inff());
    else if (!smooth[lane]) {
      const T least = T(double(second[lane]) - Types<T>::span - level);
      if (least > cut[lane]) cut[lane] = least;
    }
    any = any || here[lane] - shift[lane] >= cut[lane];
  }
  if (!any) return false;

  // Sixteen terms at a time: a sum of sums loses less than one long sum.
  alignas(64) T mass[panel], square[panel];
  {
    V s[NV], c[NV], m[NV]{}, q[NV]{}, largest{};
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      s[v] = *(V *)(shift + v * width<T>);
      c[v] = *(V *)(cut + v * width<T>);
    }
    for (int64_t start = 0; start < n; start += 16) {
      V pm[NV]{}, pq[NV]{};
      const int64_t end = start + 16 < n ? start + 16 : n;
      for (int64_t i = start; i < end; i++)
        FIELD_UNROLL for (int v = 0; v < NV; v++) {
          V *place = (V *)(logits + i * panel + v * width<T>);
          V x = *place - s[v];
          V weight = x >= c[v] ? power<T, Types<T>::degree>(x) : V{};
          *place = weight;
          pm[v] += weight;
          pq[v] += weight * squares[i];
          if (projections) *(V *)(projections + i * panel + v * width<T>) *= weight;
        }
      FIELD_UNROLL for (int v = 0; v < NV; v++) m[v] += pm[v], q[v] += pq[v];
    }
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      *(V *)(mass + v * width<T>) = m[v];
      *(V *)(square + v * width<T>) = q[v];
    }
  }

  // A point that has much of the mass is met alone: the sums of the others do not drown in its.
  searching = false;
  for (int64_t lane = 0; lane < panel; lane++) {
    bounds[lane] = T(__builtin_inff());
    if (lane >= count || !smooth[lane]) continue;
    const int64_t b = first + lane;
    const double heavy = (group.mass[b] + group.exact_mass[b] + double(mass[lane])) * 0.25;
    if (exponential(double(here[lane]) - double(shift[lane])) < heavy * 0.999) continue;
    bounds[lane] = T(heavy);
    searching = true;
  }
  if (searching) {
    V least[NV], m[NV]{}, q[NV]{};
    FIELD_UNROLL for (int v = 0; v < NV; v++) least[v] = *(V *)(bounds + v * width<T>);
    for (int64_t start = 0; start < n; start += 16) {
      V pm[NV]{}, pq[NV]{};
      const int64_t end = start + 16 < n ? start + 16 : n;
      for (int64_t i = start; i < end; i++) {
        if (reached<T, NV>(logits + i * panel, least))
          for (int64_t lane = 0; lane < count; lane++) {
            T &weight = logits[i * panel + lane];
            if (!(weight >= bounds[lane])) continue;
            meet(query, group, (const Store *)rows.values + i * query.dimension, rows.log_weights ? scratch.weights[i] : 0,
                 first + lane, false, scratch.point);
            weight = 0;
            if (projections) projections[i * panel + lane] = 0;
          }
        FIELD_UNROLL for (int v = 0; v < NV; v++) {
          V weight = *(V *)(logits + i * panel + v * width<T>);
          pm[v] += weight;
          pq[v] += weight * squares[i];
        }
      }
      FIELD_UNROLL for (int v = 0; v < NV; v++) m[v] += pm[v], q[v] += pq[v];
    }
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      *(V *)(mass + v * width<T>) = m[v];
      *(V *)(square + v * width<T>) = q[v];
    }
  }
  for (int64_t lane = 0; lane < count; lane++) {
    group.mass[first + lane] += mass[lane];
    group.square[first + lane] += square[lane];
  }
  return true;
}

/// The least |r − α y|² of a block for a panel of queries.
template <class T, int NV>
static void nearest(const Query &query, const T *logits, const double *squares, int64_t n, int64_t first, int64_t count,
                    float *out) {
  constexpr int64_t panel = NV * width<T>;
  for (int64_t lane = 0; lane < count; lane++) {
    double least = __builtin_inf();
    for (int64_t i = 0; i < n; i++) {
      double value = query.alpha * (query.alpha * squares[i] - 2 * double(logits[i * panel + lane]));
      least = value < least ? value : least;
    }
    least += query.norms[first + lane] * query.norms[first + lane];
    out[first + lane] = float(least > 0 ? least : 0);
  }
}

template <class Store, class T, int NV>
static void visit_wide(const Query &query, Group &group, const Block &rows, int64_t from, int64_t to, Scratch &scratch) {
  constexpr int64_t panel = NV * width<T>;
  const int64_t d = query.dimension, n = rows.count;
  const int64_t strips = (d + strip<T> - 1) / strip<T>, stride = strips * strip<T>;
  T *packed = (T *)scratch.packed;
  T *logits = (T *)scratch.logits, *projections = query.directions ? (T *)scratch.projections : nullptr;
  for (int64_t i = 0; i < n; i++) scratch.squares[i] = 0;

  auto multiply = [&](int64_t p, int64_t i, int64_t s) __attribute__((always_inline)) {
    const int64_t count = s + chunk < strips ? chunk : strips - s;
    const T *place = packed + (s * block + i) * strip<T>;
    const int64_t lanes = (p * stride + s * strip<T>)*panel, out = ((p - from) * block + i) * panel;
    dots<T, NV>(place, (const T *)query.lanes + lanes, count, logits + out, s > 0);
    if (projections) dots<T, NV>(place, (const T *)query.direction_lanes + lanes, count, projections + out, s > 0);
  };
  if (to - from == 1) {
    // Few queries wait for memory, which is fastest row by row.
    for (int64_t i = 0; i < n; i += tile) {
      const int64_t count = n - i < tile ? n - i : tile;
      copy<Store, T>(query, (const Store *)rows.values, i, i + count, 0, strips, (const T *)query.centre_narrow, packed,
                     scratch.squares);
      for (int64_t s = 0; s < strips; s += chunk) multiply(from, i, s);
    }
  } else {
    for (int64_t s = 0; s < strips; s += chunk) {
      copy<Store, T>(query, (const Store *)rows.values, 0, n, s, s + chunk < strips ? s + chunk : strips,
                     (const T *)query.centre_narrow, packed, scratch.squares);
      for (int64_t p = from; p < to; p++)
        for (int64_t i = 0; i < n; i += tile) multiply(p, i, s);
    }
  }

  Block found = rows;
  double largest = 0;
  for (int64_t i = 0; i < n; i++) {
    largest = scratch.squares[i] > largest ? scratch.squares[i] : largest;
    scratch.weights[i] = rows.log_weights ? rows.log_weights[i] * 1.4426950408889634 : 0;
    ((T *)scratch.bias)[i] = T(scratch.weights[i] - query.curvature * scratch.squares[i]);
    ((T *)scratch.squares_narrow)[i] = T(scratch.squares[i]);
  }
  found.radius = __builtin_sqrt(largest);

  for (int64_t p = from; p < to; p++) {
    const int64_t first = p * panel, count = query.count - first < panel ? query.count - first : panel;
    const int64_t place = (p - from) * block * panel;
    if (rows.minima) nearest<T, NV>(query, logits + place, scratch.squares, n, first, count, rows.minima);
    T *projected = projections ? projections + place : nullptr;
    if (!weigh<Store, T, NV>(query, group, found, logits + place, projected, first, count, scratch)) continue;
    if (!group.sum[p]) query.grow_sums(query, group, p);
    fold_panel<T>(logits + place, panel, count, packed, n, group.scale + first, group.sum[p], stride);
    if (projected) fold_panel<T>(projected, panel, count, packed, n, group.scale + first, group.product[p], stride);
    for (int64_t b = first; b < first + count; b++) group.scale[b] = 1;
  }
}

// ------------------------------------------------------------------------------------------------- blocks of few columns

/// In few dimensions a product is no gain: differences from the best point so far, in float64, lose nothing wherever the
/// query and the points are, since
///
///     |x − α y*|² − |x − α y|² = α (y − y*)·(2 x − α y − α y*).
template <int D, bool product, int degree>
static void visit_narrow(const Query &query, Group &group, const Block &rows, int64_t from, int64_t to, Scratch &scratch) {
  using V = typename Types<double>::V;
  constexpr int w = width<double>, NV = 2;
  constexpr int64_t panel = NV * w;
  const int64_t n = rows.count, stride = query.lane_count;
  const double *y = scratch.point, *bias = scratch.weights;
  double *logits = (double *)scratch.logits;
  // Fields of a query: mass, square, started, bias of the best point, best point, first moment, product.
  double *mass = group.few, *square = mass + stride, *started = square + stride, *offset = started + stride,
         *best = offset + stride, *sum = best + D * stride, *products = sum + D * stride;
  const double curvature = query.curvature, gain = query.gain;

  for (int64_t p = from; p < to; p++) {
    const int64_t b = p * panel;
    V at[NV][D], origin[NV][D], peak[NV], which[NV];
    // Queries whose logits are wanted: a query alone has the same bits as among others.
    alignas(64) double stale[panel];
    for (int64_t lane = 0; lane < panel; lane++) stale[lane] = 1;
    auto compute = [&]() __attribute__((always_inline)) {
      V slope[NV][D], level[NV];
      FIELD_UNROLL for (int v = 0; v < NV; v++) {
        level[v] = *(V *)(offset + b + v * w);
        peak[v] = V{} - __builtin_inf();
        which[v] = V{};
        FIELD_UNROLL for (int k = 0; k < D; k++) {
          origin[v][k] = *(V *)(best + k * stride + b + v * w);
          slope[v][k] = at[v][k] * gain - origin[v][k] * curvature;
        }
      }
      for (int64_t i = 0; i < n; i++)
        FIELD_UNROLL for (int v = 0; v < NV; v++) {
          V logit = bias[i] - level[v];
          FIELD_UNROLL for (int k = 0; k < D; k++)
            logit += (y[i * D + k] - origin[v][k]) * (slope[v][k] - y[i * D + k] * curvature);
          V *place = (V *)(logits + i * panel + v * w);
          *place = *(V *)(stale + v * w) > 0 ? logit : *place;
        }
      // Points that are left out stay so when the logits are computed again.
      if (query.omitted)
        for (int64_t lane = 0; lane < panel && b + lane < query.count; lane++) {
          int64_t place = query.omitted[b + lane] - rows.first;
          if (place >= 0 && place < n) logits[place * panel + lane] = -__builtin_inf();
        }
      for (int64_t i = 0; i < n; i++)
        FIELD_UNROLL for (int v = 0; v < NV; v++) {
          V logit = *(V *)(logits + i * panel + v * w);
          auto larger = logit > peak[v];
          peak[v] = larger ? logit : peak[v];
          which[v] = larger ? V{} + double(i) : which[v];
        }
    };

    FIELD_UNROLL for (int v = 0; v < NV; v++) FIELD_UNROLL for (int k = 0; k < D; k++)
      at[v][k] = *(const V *)((const double *)query.lanes + k * stride + b + v * w);
    for (int64_t lane = 0; lane < panel; lane++) {
      if (started[b + lane] != 0) continue;
      for (int k = 0; k < D; k++) best[k * stride + b + lane] = y[k];
    }
    compute();

    bool moved = false;
    alignas(64) double ahead[panel];
    for (int64_t lane = 0; lane < panel; lane++) {
      const int64_t q = b + lane;
      const double found = peak[lane / w][lane % w];
      ahead[lane] = stale[lane] = 0;
      if (!(found > nothing)) {
        // No point of the block has any weight for this query.
        ahead[lane] = __builtin_inf();
        continue;
      }
      if (started[q] != 0 && !(found > 0)) continue;
      const int64_t i = int64_t(which[lane / w][lane % w]);
      double move[D], along = 0, dot = 0, norm = 0;
      for (int k = 0; k < D; k++) {
        move[k] = best[k * stride + q] - y[i * D + k];
        best[k * stride + q] = y[i * D + k];
      }
      offset[q] = bias[i];
      // Far from the old point its logit is too large to be subtracted.
      stale[lane] = found > 4096 || found < -4096;
      ahead[lane] = stale[lane] != 0 ? 0 : found;
      moved = moved || stale[lane] != 0;
      if (started[q] == 0) {
        started[q] = 1;
        continue;
      }
      // The moments about the old point, weighted anew, about the new one.
      const double factor = exponential(-found), before = mass[q] * factor;
      for (int k = 0; k < D; k++) {
        dot += move[k] * sum[k * stride + q] * factor;
        norm += move[k] * move[k];
        if (product) along += move[k] * query.direction_few[k * stride + q];
      }
      if (product) {
        double across = 0;
        for (int k = 0; k < D; k++) across += sum[k * stride + q] * factor * query.direction_few[k * stride + q];
        for (int k = 0; k < D; k++)
          products[k * stride + q] = products[k * stride + q] * factor + along * sum[k * stride + q] * factor +
                                     (across + before * along) * move[k];
      }
      mass[q] = before;
      square[q] = square[q] * factor + 2 * dot + before * norm;
      for (int k = 0; k < D; k++) sum[k * stride + q] = sum[k * stride + q] * factor + before * move[k];
    }
    if (moved) compute();

    V m[NV], q[NV], lead[NV], s[NV][D], pr[NV][D], vs[NV][D];
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      m[v] = *(V *)(mass + b + v * w);
      q[v] = *(V *)(square + b + v * w);
      lead[v] = *(V *)(ahead + v * w);
      FIELD_UNROLL for (int k = 0; k < D; k++) {
        s[v][k] = *(V *)(sum + k * stride + b + v * w);
        origin[v][k] = *(V *)(best + k * stride + b + v * w);
        if (product) {
          pr[v][k] = *(V *)(products + k * stride + b + v * w);
          vs[v][k] = *(const V *)(query.direction_few + k * stride + b + v * w);
        }
      }
    }
    for (int64_t i = 0; i < n; i++)
      FIELD_UNROLL for (int v = 0; v < NV; v++) {
        V x = *(V *)(logits + i * panel + v * w) - lead[v];
        V weight = x >= Types<double>::floor ? power<double, degree>(x) : V{};
        m[v] += weight;
        V e[D], along{}, norm{};
        FIELD_UNROLL for (int k = 0; k < D; k++) {
          e[k] = y[i * D + k] - origin[v][k];
          s[v][k] += weight * e[k];
          norm += e[k] * e[k];
          if (product) along += e[k] * vs[v][k];
        }
        q[v] += weight * norm;
        if (product) {
          V scaled = along * weight;
          FIELD_UNROLL for (int k = 0; k < D; k++) pr[v][k] += scaled * e[k];
        }
      }
    FIELD_UNROLL for (int v = 0; v < NV; v++) {
      *(V *)(mass + b + v * w) = m[v];
      *(V *)(square + b + v * w) = q[v];
      FIELD_UNROLL for (int k = 0; k < D; k++) {
        *(V *)(sum + k * stride + b + v * w) = s[v][k];
        if (product) *(V *)(products + k * stride + b + v * w) = pr[v][k];
      }
    }
    if (rows.minima)
      for (int64_t lane = 0; lane < panel && b + lane < query.count; lane++) {
        double least = __builtin_inf();
        for (int64_t i = 0; i < n; i++) {
          double value = 0;
          for (int k = 0; k < D; k++) {
            double e = ((const double *)query.lanes)[k * stride + b + lane] - query.alpha * y[i * D + k];
            value += e * e;
          }
          least = value < least ? value : least;
        }
        rows.minima[b + lane] = float(least);
      }
  }
}

template <class Store, int D>
static void visit_few(const Query &query, Group &group, const Block &rows, int64_t from, int64_t to, Scratch &scratch) {
  for (int64_t i = 0; i < rows.count; i++) {
    for (int k = 0; k < D; k++) scratch.point[i * D + k] = ((const Store *)rows.values)[i * D + k];
    scratch.weights[i] = rows.log_weights ? rows.log_weights[i] * 1.4426950408889634 : 0;
  }
  constexpr int degree = sizeof(Store) == 4 ? 8 : 13;
  if (query.directions) visit_narrow<D, true, degree>(query, group, rows, from, to, scratch);
  else visit_narrow<D, false, degree>(query, group, rows, from, to, scratch);
}

template <class Store>
static void visit(const Query &query, Group &group, const Block &rows, int64_t from, int64_t to, Scratch &scratch) {
  switch (query.narrow ? query.dimension : 0) {
    case 1: return visit_few<Store, 1>(query, group, rows, from, to, scratch);
    case 2: return visit_few<Store, 2>(query, group, rows, from, to, scratch);
    case 3: return visit_few<Store, 3>(query, group, rows, from, to, scratch);
    case 4: return visit_few<Store, 4>(query, group, rows, from, to, scratch);
    case 5: return visit_few<Store, 5>(query, group, rows, from, to, scratch);
    case 6: return visit_few<Store, 6>(query, group, rows, from, to, scratch);
    case 7: return visit_few<Store, 7>(query, group, rows, from, to, scratch);
    case 8: return visit_few<Store, 8>(query, group, rows, from, to, scratch);
  }
  if (query.vectors == 1) visit_wide<Store, Store, 1>(query, group, rows, from, to, scratch);
  else visit_wide<Store, Store, 2>(query, group, rows, from, to, scratch);
}

static const Kernel kernel = {FIELD_BYTES, visit<float>, visit<double>};

#undef FIELD_INLINE

}  // namespace FIELD_NAMESPACE
