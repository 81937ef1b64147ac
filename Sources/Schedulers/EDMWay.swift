import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths

/// What the schedulers of EDM's networks share: their levels and their preconditioning.
struct EDMWay: Sendable {
  enum Spread: String, Sendable { case karras, exponential }

  let smallest, largest, sigmaData, rho: Double
  let spread: Spread
  let prediction: Prediction
  let end: HalfLogSNRWay.End

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    smallest = try file.number("sigma_min", 0.002, in: 1e-9...1e9)
    largest = try file.number("sigma_max", 80, in: 1e-9...1e9)
    sigmaData = try file.number("sigma_data", 0.5, in: 1e-9...1e9)
    rho = try file.number("rho", 7, in: 1e-3...1e3)
    spread = try file.choice("sigma_schedule", .karras, among: [.karras, .exponential])
    prediction = try Prediction(&file, among: [.epsilon, .v])
    end = try file.choice("final_sigmas_type", .zero, among: [.zero, .smallest])
    // The levels do not depend on it.
    _ = try file.count("num_train_timesteps", 1000, in: 1...1_000_000)
  }

  /// The network's own output; "v_prediction" is its negative.
  var head: Head {
    let head = Head.edm(sigmaData: sigmaData)
    return prediction == .v ? head.negated : head
  }

  var clock: ModelClock { .logarithm(0.25, sigmaData: sigmaData) }
  var startScale: Double { (largest * largest + 1).squareRoot() }

  /// The nodes of a number of steps.
  func nodes(_ steps: Int) -> [SchedulerNode] {
    let levels = (spread == .karras ? SigmaSpacing.karras(rho: rho) : .exponential)
    let sigmas = levels.levels(steps, from: largest, to: smallest)
    let last = end == .zero ? 0 : sigmas[steps - 1]
    return sigmas.map { sigma in
      SchedulerNode(
        0.25 * .log(sigma), .exploding(sigma),
        inputScale: 1 / (sigma * sigma + sigmaData * sigmaData).squareRoot())
    } + [.end(.exploding(last))]
  }
}
