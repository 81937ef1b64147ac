import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers

/// What the schedulers of `x/α` share: levels of a table, spread anew where a file asks for it, and a last one without noise.
struct SigmaWay: Sendable {
  let table: NoiseTable
  let spacing: TimestepSpacing.Choice
  let levels: SigmaSpacing.Choice
  let prediction: Prediction
  /// Whether timesteps of Karras levels are rounded to whole numbers.
  var roundsKarras = false

  /// Timesteps and levels, as many as there are steps.
  ///
  /// - Parameters:
  ///   - steps: How many.
  ///   - own: The levels that would be there, or are between the ends of what is spread anew; those of the timesteps where
  ///     it is nil.
  /// - Returns: Timesteps, and `σ` of `x/α`.
  func grid(_ steps: Int, levels own: [Double]? = nil) -> (timesteps: [Double], sigmas: [Double]) {
    let timesteps = spacing.all(steps, of: table.count, whole: false)
    let sigmas = own ?? timesteps.map { table.sigma(at: $0) }
    guard let spread = levels.levels(steps, from: sigmas[0], to: sigmas[sigmas.count - 1]) else {
      return (timesteps, sigmas)
    }
    let times = spread.map { table.timestep(of: $0) }
    return (levels.isKarras && roundsKarras ? times.map { $0.rounded(.toNearestOrEven) } : times, spread)
  }

  /// The deviation of the first state.
  func startScale(_ largest: Double) -> Double {
    spacing.spacing == .leading ? (largest * largest + 1).squareRoot() : largest
  }
}

/// A scheduler of `x/α`.
protocol SigmaScheduler: DiffusersScheduler {
  var way: SigmaWay { get }
}

extension SigmaScheduler {
  var head: Head { way.prediction.head }
  var clock: ModelClock { .index(way.table) }
  var steps: ClosedRange<Int> { 1...way.table.count }
}
