import RealModule
import ScorefieldArrays
import ScorefieldPaths

/// What the schedulers in `λ = log(α/σ)` share: levels of a table or of the straight path, given by their `σ/α` or by `σ`.
struct HalfLogSNRWay: Sendable {
  enum End: String, Sendable { case zero, smallest = "sigma_min" }

  let table: NoiseTable
  let spacing: TimestepSpacing.Choice
  let levels: SigmaSpacing.Choice
  let prediction: Prediction
  /// The shift of the straight path, or nil where the levels are those of the table.
  var flowShift: Double?
  /// Whether an image may have another.
  let hasDynamicShift: Bool
  /// `λ` below which no timestep begins.
  var clippedBelow = -Double.infinity

  /// The way of a file.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - rescalable: Whether the class knows `rescale_betas_zero_snr`.
  ///   - isSpaced: Whether it knows `timestep_spacing`.
  ///   - knowsEnds: Whether it knows `sigma_min` and `sigma_max`.
  ///   - clips: Whether it knows `lambda_min_clipped`.
  /// - Throws: Where a value is none it can have.
  init(
    _ file: inout SchedulerFile, rescalable: Bool, isSpaced: Bool = true, knowsEnds: Bool = false, clips: Bool = false
  ) throws(ArrayFileError) {
    table = try NoiseTable(&file, rescalable: rescalable, smallest: 0x1p-24)
    spacing = isSpaced ? try TimestepSpacing.Choice(&file, .linspace) : .linspace
    levels = try SigmaSpacing.Choice(&file, knowsEnds: knowsEnds)
    prediction = try Prediction(&file, among: [.epsilon, .v, .sample, .flow])
    let isFlow = try file.flag("use_flow_sigmas", false)
    let shift = try file.number("flow_shift", 1, in: 1e-6...1e6)
    flowShift = isFlow ? shift : nil
    if isFlow != (prediction == .flow) {
      throw file.refusal(
        "use_flow_sigmas", "and 'prediction_type' do not go together",
        repair: "use 'flow_prediction' on flow sigmas, and there alone")
    }
    if isFlow, levels.spacing != nil {
      throw file.refusal("use_flow_sigmas", "stands beside other levels", repair: "keep one of them")
    }
    hasDynamicShift = try DynamicShift(&file, among: [.exponential]) != nil && isFlow
    if clips { clippedBelow = try file.number("lambda_min_clipped", -.infinity, in: -(.infinity)...1e9) }
  }

  /// The way of an image's own shift, or nil where the file has none.
  func dynamicallyShifted(by mu: Double) -> Self? {
    guard hasDynamicShift, let shift = DynamicShift.exponential.factor(mu) else { return nil }
    var copy = self
    copy.flowShift = shift
    return copy
  }

  /// The level of a `σ`.
  func kernel(_ sigma: Double) -> PerturbationKernel { flowShift == nil ? .preserving(sigma) : .straight(sigma) }

  /// What is a timestep.
  var clock: ModelClock { flowShift == nil ? .index(table) : .flow(table.count) }

  /// Timesteps and levels, as many as there are steps.
  ///
  /// - Parameters:
  ///   - steps: How many.
  ///   - roundsKarras: Whether timesteps of Karras levels are rounded, before they are cut to whole numbers.
  /// - Returns: Whole timesteps, and `σ/α`, or `σ` of the straight path.
  func grid(_ steps: Int, roundsKarras: Bool = true) -> (timesteps: [Double], sigmas: [Double]) {
    if let flowShift {
      let sigmas = evenly(from: 1, to: 1 / Double(table.count), steps + 1).map { 1 - $0 }.dropFirst().reversed()
        .map { shifted($0, by: flowShift) }
      return (sigmas.map { ($0 * Double(table.count)).rounded(.towardZero) }, sigmas)
    }
    if let spread = levels.levels(steps, from: table.sigmas[table.count - 1], to: table.sigmas[0]) {
      let times = spread.map { table.timestep(of: $0) }
      return (
        times.map { (levels.isKarras && roundsKarras ? $0.rounded(.toNearestOrEven) : $0).rounded(.towardZero) }, spread
      )
    }
    // How many of the last levels have too little signal.
    let clipped = zip(table.sigmas, table.kept).filter { -Double.log($0.0) < clippedBelow }.count
    let timesteps = spacing.allButEnd(steps, of: table.count, clipped: clipped)
    return (timesteps, timesteps.map { table.sigma(at: $0) })
  }
}

/// `s σ/(1 + (s − 1) σ)`, the shift of a straight path to more noise.
///
/// Source: Esser et al. 2024, arXiv:2403.03206, eq. 23.
func shifted(_ sigma: Double, by shift: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }

/// A scheduler whose steps are along a ``HalfLogSNRWay``.
protocol HalfLogSNRScheduler: DiffusersScheduler {
  var way: HalfLogSNRWay { get set }
}

extension HalfLogSNRScheduler {
  func dynamicallyShifted(by mu: Double) -> Self? {
    way.dynamicallyShifted(by: mu).map {
      var copy = self
      copy.way = $0
      return copy
    }
  }
}
