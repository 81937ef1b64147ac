import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Laws of every distribution of times, over the list of them.
@Suite struct TimeDistributionTests {
  struct Named: Sendable, CustomStringConvertible {
    let description: String
    let times: any TimeDistribution
    /// Times between which the density is smooth, from the first to the last that are drawn.
    let edges: [Double]
    /// Whether quantiles rise with their share.
    var isOrdered = true
  }

  static let vp = VariancePreserving()

  static func evenly(_ from: Double, _ to: Double, _ count: Int = 40) -> [Double] {
    (0...count).map { from + (to - from) * Double($0) / Double(count) }
  }
  /// Even in the logarithm of the noise.
  static func levels(_ schedule: any NoiseSchedule, _ low: Double, _ high: Double, _ count: Int = 40) -> [Double] {
    evenly(log(low), log(high), count).map { schedule.time(atNoiseToSignal: exp($0)) }
  }
  static func ends(_ schedule: any NoiseSchedule) -> (Double, Double) {
    let range = schedule.timeRange
    return (
      schedule.kernel(at: range.lowerBound).noiseToSignal, schedule.kernel(at: range.upperBound).noiseToSignal
    )
  }

  /// An adaptive distribution that has seen losses that grow with time.
  static func adapted(_ base: any TimeDistribution, parts: Int) -> AdaptiveTimes {
    var times = AdaptiveTimes(over: base, parts: parts)
    for part in 0..<parts {
      let time = base.time(atQuantile: (Double(part) + 0.5) / Double(parts))
      times.record(
        losses: Array(repeating: 1 + Double(part) * Double(part % 3), count: 10), at: Array(repeating: time, count: 10))
    }
    return times
  }

  static let continuous: [Named] = {
    let (low, high) = (vp.time(atNoiseToSignal: 0.02), vp.time(atNoiseToSignal: 50))
    let noise = LogUniformNoise(on: vp, ratios: 0.02...50)
    func normal(_ schedule: any NoiseSchedule) -> [Double] {
      let (first, last) = ends(schedule)
      let inner = levels(schedule, first * 1.0001, last * 0.9999, 80)
      return [schedule.timeRange.lowerBound] + inner + [schedule.timeRange.upperBound]
    }
    return [
      .init(description: "uniform", times: UniformTimes(0.02...0.98), edges: evenly(0.02, 0.98)),
      .init(description: "logit-normal", times: LogitNormalTimes(0...1), edges: evenly(0, 1)),
      .init(
        description: "logit-normal, elsewhere", times: LogitNormalTimes(2...5, mean: 0.5, standardDeviation: 0.7),
        edges: evenly(2, 5)),
      .init(description: "log-uniform noise", times: noise, edges: levels(vp, 0.02, 50)),
      .init(
        description: "log-uniform noise, EDM", times: LogUniformNoise(on: .edm, ratios: 1e-3...80),
        edges: levels(.edm, 1e-3, 80)),
      .init(description: "log-normal noise, EDM", times: LogNormalNoise(on: .edm), edges: normal(.edm)),
      .init(description: "log-normal noise, VP", times: LogNormalNoise(on: vp), edges: normal(vp)),
      .init(
        description: "log-normal noise, cut off",
        times: LogNormalNoise(on: .flowMatching, mean: 1, standardDeviation: 3), edges: normal(.flowMatching)),
      .init(
        description: "log-normal noise, cut off below",
        times: LogNormalNoise(on: .edm, mean: -8, standardDeviation: 2), edges: normal(.edm)),
      .init(
        description: "mixed", times: MixedTimes(0.75, of: noise, else: UniformTimes(low...high)),
        edges: levels(vp, 0.02, 50), isOrdered: false),
      .init(
        description: "adaptive", times: adapted(UniformTimes(0.1...0.9), parts: 16), edges: evenly(0.1, 0.9, 48)),
      .init(
        description: "adaptive noise", times: adapted(noise, parts: 10), edges: levels(vp, 0.02, 50, 40)),
    ]
  }()

  static let discrete = Named(
    description: "discrete", times: DiscreteTimes(3...42), edges: (3...43).map { Double($0) - 0.5 })
  static let all = continuous + [discrete]

  /// `∫ f` by five Gauss points in each of many parts.
  static func integral(_ from: Double, _ to: Double, parts: Int = 24, _ f: (Double) -> Double) -> Double {
    let nodes = [0, 0.5384693101056831, 0.9061798459386640]
    let weights = [0.5688888888888889, 0.4786286704993665, 0.2369268850561891]
    let half = (to - from) / Double(2 * parts)
    return (0..<parts).reduce(0) { sum, part in
      let middle = from + half * Double(2 * part + 1)
      return sum + half
        * zip(nodes, weights).reduce(0) {
          $0 + $1.1 * (f(middle - half * $1.0) + f(middle + half * $1.0)) / ($1.0 == 0 ? 2 : 1)
        }
    }
  }

  /// The share of the draws in each part between the edges.
  static func shares(_ named: Named) -> [Double] {
    if named.times is DiscreteTimes {
      return zip(named.edges, named.edges.dropFirst()).map { named.times.density(at: ($0 + $1) / 2) }
    }
    return zip(named.edges, named.edges.dropFirst()).map { integral($0, $1, named.times.density(at:)) }
  }

  @Test("Spec: B6.4 the density integrates to 1", arguments: all)
  func mass(_ named: Named) {
    let sum = Self.shares(named).reduce(0, +)
    #expect(abs(sum - 1) < 1e-6, "\(sum)")
    let (low, high) = (named.edges[0], named.edges.last!)
    #expect(named.times.density(at: low - 1) == 0 && named.times.density(at: high + 1) == 0)
  }

  @Test("Spec: B6.4 draws have the density, independent or spread evenly", arguments: all, [false, true])
  func histogram(_ named: Named, _ isStratified: Bool) {
    var generator = Generator(seed: 11)
    let count = 20_000
    // Spread evenly in batches, as in training.
    let draws =
      isStratified
      ? (0..<(count / 500)).flatMap { _ in named.times.stratifiedTimes(500, using: &generator) }
      : named.times.times(count, using: &generator)
    var found = Array(repeating: 0.0, count: named.edges.count - 1)
    for t in draws {
      let bin = (named.edges.firstIndex { $0 > t } ?? named.edges.count) - 1
      #expect(t >= named.edges[0] - 1e-9 && t <= named.edges.last! + 1e-9)
      found[min(max(bin, 0), found.count - 1)] += 1
    }
    var (sum, degrees, rest) = (0.0, -1.0, (found: 0.0, expected: 0.0))
    for (number, share) in zip(found, Self.shares(named)) {
      rest = (rest.found + number, rest.expected + share * Double(count))
      guard rest.expected > 20 else { continue }
      sum += (rest.found - rest.expected) * (rest.found - rest.expected) / rest.expected
      degrees += 1
      rest = (0, 0)
    }
    #expect(degrees > 10)
    // Four standard errors of χ²; what is spread evenly is nearer than chance.
    #expect(sum < (isStratified ? degrees : degrees + 4 * (2 * degrees).squareRoot()), "\(sum) of \(degrees)")
    if !isStratified { #expect(sum > degrees - 4 * (2 * degrees).squareRoot(), "\(sum) of \(degrees)") }
  }

  @Test("Spec: B6.4 quantiles rise from one end to the other, and the density is their slope", arguments: continuous)
  func quantiles(_ named: Named) {
    guard named.isOrdered else { return }
    let count = 200
    let times = (0...count).map { named.times.time(atQuantile: Double($0) / Double(count)) }
    #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
    for (index, (low, high)) in zip(times, times.dropFirst()).enumerated() where index > 0 && index < count - 1 {
      // Parts of the adaptive ones may end between.
      let inner = [low] + named.edges.filter { $0 > low && $0 < high } + [high]
      let share = zip(inner, inner.dropFirst()).reduce(0) { $0 + Self.integral($1.0, $1.1, named.times.density(at:)) }
      #expect(abs(share * Double(count) - 1) < 1e-5, "\(share) from \(low) to \(high)")
    }
  }

  @Test("Spec: B6.4 even the first and the last quantile are times of the range", arguments: all)
  func endsInside(_ named: Named) {
    for u in [0, 1e-300, 1e-17, 0.5, 1 - 0x1p-53, 1] {
      let t = named.times.time(atQuantile: u)
      #expect(t >= named.edges[0] - 1e-9 && t <= named.edges.last! + 1e-9, "\(t) at \(u)")
    }
    for share in [0, 1.0] {
      let mixed = MixedTimes(share, of: UniformTimes(0...1), else: UniformTimes(2...3))
      #expect(mixed.time(atQuantile: 0) == (share == 1 ? 0 : 2))
      #expect(mixed.time(atQuantile: 1) == (share == 1 ? 1 : 3))
    }
  }

  @Test("discrete times are whole, and every step comes equally often when they are spread evenly")
  func steps() {
    var generator = Generator(seed: 1)
    let times = DiscreteTimes(0...999).stratifiedTimes(2000, using: &generator)
    #expect(Set(times).count == 1000 && times.allSatisfy { $0 == $0.rounded() })
    #expect(DiscreteTimes(0...9).density(at: 0.5) == 0)
  }

  // MARK: The importance identity

  /// The expected squared error of the best guess of the noise, of the first fixture: `α² s²/(α² s² + σ²)`.
  static func meanSquaredError(_ kernel: PerturbationKernel) -> Double {
    let signal = 1.69 * kernel.alpha * kernel.alpha
    return signal / (signal + kernel.sigma * kernel.sigma)
  }

  /// All of them on the same schedule, and reaching all of `bounds`.
  static let bounds = vp.time(atNoiseToSignal: 0.02)...vp.time(atNoiseToSignal: 50)
  static let comparable: [Named] = {
    let noise = LogUniformNoise(on: vp, ratios: 0.02...50)
    return [
      .init(description: "uniform", times: UniformTimes(bounds), edges: []),
      .init(description: "wider uniform", times: UniformTimes(1e-5...1), edges: []),
      .init(description: "log-uniform noise", times: noise, edges: []),
      .init(description: "log-normal noise", times: LogNormalNoise(on: vp, mean: 0, standardDeviation: 2), edges: []),
      .init(
        description: "logit-normal", times: LogitNormalTimes(1e-5...1, mean: -0.5, standardDeviation: 1.5), edges: []),
      .init(description: "mixed", times: MixedTimes(0.5, of: noise, else: UniformTimes(bounds)), edges: []),
      .init(description: "adaptive", times: adapted(UniformTimes(bounds), parts: 8), edges: []),
    ]
  }()

  /// The exact denoiser of the first fixture as a network.
  static func exactModel() throws -> NetworkDenoiser {
    let preconditioning = Preconditioning(.noise, sigmaData: 1.5)
    let network = FunctionNetwork(dimension: 1) { x, noise in
      // In x/α and σ/α the schedule does not matter.
      let k = noise.exp().expanded(at: 1)
      let point = x * (k.squared() + 1.5 * 1.5).sqrt()
      return ((point - 0.7) * k / (k.squared() + 1.69), .zeros([x.batch]))
    }
    return NetworkDenoiser(network, preconditioning, on: vp)
  }

  @Test("Spec: B6.4 a loss divided by the density has the same mean, however its times are drawn")
  func importance() throws {
    let model = try Self.exactModel()
    let schedule = Self.vp
    let inside = Weighting { Self.bounds.contains($0.time) ? 1 + $0.alpha : 0 }
    let expected = Self.integral(Self.bounds.lowerBound, Self.bounds.upperBound, parts: 400) {
      let kernel = schedule.kernel(at: $0)
      return (1 + kernel.alpha) * Self.meanSquaredError(kernel)
    }
    var generator = Generator(seed: 5)
    let count = 20_000
    var spreads: [Double] = []
    for named in Self.comparable {
      let objective = DenoisingObjective(
        times: named.times, weighting: inside.perDensity(of: named.times), stratified: false)
      let data = 0.7 + 1.3 * Tensor.normal([count, 1], using: &generator)
      let losses = objective.loss(of: model, on: TrainingBatch(data), using: &generator)
      let found = Estimate(samples: losses.expanded(at: 1))
      #expect(abs(found.value.item - expected) <= 5 * found.standardError!.item, "\(named): \(found)")
      #expect(found.standardError!.item < 0.05 * expected, "\(named)")
      spreads.append(found.standardError!.item)
    }
    // The distributions differ in nothing but this.
    #expect(spreads.max()! > 1.5 * spreads.min()!)
  }

  @Test("Spec: B6.4 times spread evenly give means of far less variance", arguments: continuous)
  func stratified(_ named: Named) {
    var generator = Generator(seed: 6)
    /// The share of the parts that are over.
    func position(_ t: Double) -> Double {
      Double(named.edges.count { $0 <= t }) / Double(named.edges.count)
    }
    func means(_ draw: (inout Generator) -> [Double]) -> Tensor {
      Tensor(
        (0..<100).map { _ in
          let times = draw(&generator)
          return times.reduce(0) { $0 + position($1) } / Double(times.count)
        })
    }
    let independent = means { named.times.times(64, using: &$0) }
    let even = means { named.times.stratifiedTimes(64, using: &$0) }
    let difference = (independent.mean() - even.mean()).abs().item
    let error = ((independent.variance() + even.variance()) / 100).sqrt().item
    #expect(difference <= 4 * error)
    #expect(even.variance().item < 0.2 * independent.variance().item)
  }

  @Test("times spread evenly have one in each of the parts of equal share, and come in random order")
  func onePerPart() {
    var generator = Generator(seed: 2)
    let times = UniformTimes(0...1).stratifiedTimes(100, using: &generator)
    #expect(Set(times.map { Int($0 * 100) }).count == 100)
    #expect(times != times.sorted())
    // Where in its part is the same for all of a batch, and anywhere from batch to batch.
    let places = (0..<400).map { _ in
      let times = UniformTimes(0...1).stratifiedTimes(3, using: &generator).map { 3 * $0 - ($0 * 3).rounded(.down) }
      #expect(times.max()! - times.min()! < 1e-9)
      return times[0]
    }
    let found = Estimate(samples: Tensor(places, shape: [400, 1]))
    #expect(abs(found.value.item - 0.5) < 4 / (12 * 400.0).squareRoot())
    #expect(abs(Tensor(places).standardDeviation().item * 12.0.squareRoot() - 1) < 0.1)
  }

  // MARK: Adaptive times

  @Test("Spec: B6.4 adaptive times are the base's until every part has its losses")
  func warmup() {
    var times = AdaptiveTimes(over: UniformTimes(0...1), parts: 4, history: 3)
    for _ in 0..<3 { times.record(losses: [1, 5, 9], at: [0.1, 0.3, 0.6]) }
    times.record(losses: [.nan, .infinity, 2, 2], at: [0.8, 0.8, 0.8, 0.99])
    #expect(times.density(at: 0.6) == 1 && times.time(atQuantile: 0.3) == 0.3 && times.weight(at: 0.1) == 1)
    times.record(losses: [2], at: [1])
    #expect(times.density(at: 0.6) > 1)
  }

  @Test("Spec: B6.4 adaptive times come in proportion to the root of the mean squared loss, but for the base's share")
  func proportion() {
    var times = AdaptiveTimes(over: UniformTimes(0...2), parts: 4, history: 2, baseShare: 0.2)
    // Forgotten: only the latest two count.
    for t in [0.1, 0.6, 1.1, 1.6] { times.record(losses: [1000], at: [t]) }
    for (t, losses) in [(0.1, [1.0, 7]), (0.6, [5, 5]), (1.1, [0, 0]), (1.6, [10, 10])] {
      times.record(losses: losses, at: [t, t])
    }
    for (t, size) in [(0.2, 5.0), (0.7, 5), (1.2, 0), (1.7, 10)] {
      let weight = 0.8 * size / 20 + 0.2 / 4
      #expect(abs(times.density(at: t) - 4 * weight / 2) < 1e-14, "\(t)")
      #expect(abs(times.weight(at: t) * times.density(at: t) - 0.5) < 1e-14)
    }
    // What has no losses at all leaves the times as they are.
    var silent = AdaptiveTimes(over: UniformTimes(0...1), parts: 1, history: 1)
    silent.record(losses: [0], at: [0.5])
    #expect(silent.density(at: 0.5) == 1)
  }

  @Test("Spec: B6.4 what adaptive times have learned makes the variance of a loss less than its base's")
  func adaptive() throws {
    let model = try Self.exactModel()
    let base = UniformTimes(1e-5...1)
    var times = AdaptiveTimes(over: base, parts: 32)
    var generator = Generator(seed: 5)
    func losses(_ times: any TimeDistribution, _ count: Int) -> (losses: Tensor, times: [Double]) {
      let objective = DenoisingObjective(times: times, stratified: false)
      let data = 0.7 + 1.3 * Tensor.normal([count, 1], using: &generator)
      let sample = objective.sample(of: TrainingBatch(data), on: Self.vp, using: &generator)
      return (objective.loss(of: model, on: sample), sample.kernels.kernels.map(\.time))
    }
    let plain = losses(base, 20_000)
    times.record(losses: plain.losses.doubles, at: plain.times)
    for _ in 0..<20 {
      let found = losses(times, 500)
      times.record(losses: found.losses.doubles, at: found.times)
    }
    let learned = losses(times, 20_000)
    let weighted = learned.losses * Tensor(learned.times.map { times.weight(at: $0) })
    let (before, after) = (
      Estimate(samples: plain.losses.expanded(at: 1)), Estimate(samples: weighted.expanded(at: 1))
    )
    let error = (before.standardError!.squared() + after.standardError!.squared()).sqrt().item
    #expect(abs(before.value.item - after.value.item) <= 5 * error)
    #expect(after.standardError!.item < 0.8 * before.standardError!.item, "\(before) \(after)")
  }

  // MARK: What stops

  struct Mistake: Sendable {
    let message: String
    let body: @Sendable () -> Void
  }

  static let mistakes: [String: Mistake] = [
    "logit": .init(message: "LogitNormalTimes(standardDeviation: 0.0): must be > 0") {
      _ = LogitNormalTimes(0...1, standardDeviation: 0)
    },
    "ratios": .init(message: "LogUniformNoise(ratios: 0.0...1.0): must be larger than 0") {
      _ = LogUniformNoise(on: .edm, ratios: 0...1)
    },
    "reach": .init(message: "outside what EDMSchedule reaches") {
      _ = LogUniformNoise(on: .edm, ratios: 1...1000)
    },
    "far": .init(message: "the schedule reaches a share of") {
      _ = LogNormalNoise(on: .edm, mean: 50)
    },
    "share": .init(message: "MixedTimes(1.5): the share lies between 0 and 1") {
      _ = MixedTimes(1.5, of: UniformTimes(0...1), else: UniformTimes(0...1))
    },
    "parts": .init(message: "AdaptiveTimes(parts: 0, history: 10, baseShare: 0.001): needs a part") {
      _ = AdaptiveTimes(over: UniformTimes(0...1), parts: 0)
    },
    "order": .init(message: "its quantiles do not rise from part to part") {
      _ = AdaptiveTimes(over: MixedTimes(0.5, of: UniformTimes(0...1), else: UniformTimes(0...1)))
    },
    "counts": .init(message: "record(1 losses, at: 2 times): needs as many of both") {
      var times = AdaptiveTimes(over: UniformTimes(0...1))
      times.record(losses: [1], at: [0, 1])
    },
  ]

  @Test("a mistake stops the process with the numbers and the rule", arguments: mistakes.keys.sorted())
  func mistake(_ name: String) async throws {
    let expected = try #require(Self.mistakes[name])
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [name] in
      Self.mistakes[name]?.body()
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("Fatal error: ") && words.contains(expected.message), "\(words.prefix(400))")
  }
}
