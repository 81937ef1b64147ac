import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Small networks of every head, trained and judged against the exact field.
///
/// The inputs of the network are ours (`c_in x`, `log(σ/α)` and sines of it); budget and thresholds are the specification's.
@Suite struct HeadTrainingTests {
  struct Case: Sendable, CustomStringConvertible {
    let name: String
    let head: Head
    let weighting: Weighting
    /// The mean squared error of the noise that is allowed.
    let threshold: Double
    var description: String { name }
  }

  /// The standard deviation of the third fixture, √2.8725.
  static let sigmaData = 2.8725.squareRoot()

  static let cases: [Case] = [
    .init(name: "noise", head: .noise, weighting: .constant, threshold: 0.006),
    .init(name: "data", head: .data, weighting: .constant, threshold: 0.05),
    .init(name: "velocity", head: .velocity, weighting: .constant, threshold: 0.006),
    .init(name: "score", head: .score, weighting: .variance, threshold: 0.006),
    .init(name: "edm", head: .edm(sigmaData: sigmaData), weighting: .constant, threshold: 0.006),
  ]

  /// Each with the last time it is trained at.
  static let schedules: [(name: String, end: Double)] = [("flow", 0.98), ("vp", 1), ("trig", 0.98)]

  /// What came out: the mean squared error of the noise, and how far the loss of the last steps is above the least there is.
  struct Outcome {
    let error, excess: Double
  }

  static func train(_ trained: Case, _ schedule: any NoiseSchedule, end: Double, steps: Int) throws -> Outcome {
    let mixture = try Fixture.mixture1D()
    let exact = GaussianMixtureDenoiser(mixture, on: schedule)
    var generator = Generator(seed: 1)
    let network = MLP(.init(dimension: 1, width: 64, depth: 2), using: &generator)
    let preconditioning = Preconditioning(trained.head, sigmaData: sigmaData)
    let model = NetworkDenoiser(network, preconditioning, on: schedule)
    var run = TrainingRun(
      model, DenoisingObjective(times: UniformTimes(0.02...end), weighting: trained.weighting),
      settings: TrainingSettings(learningRate: .cosine(peak: 2e-3, steps: steps + 1)),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.99, warmsUp: true), generator: generator)
    var data = Generator(seed: 2)
    // The loss at the end, over many batches.
    let tail = max(steps / 6, 1)
    var sum = 0.0
    for step in 0..<steps {
      let result = run.advance(on: TrainingBatch(mixture.sample(512, using: &data).to(.float32)))
      if step >= steps - tail { sum += result.loss }
    }

    let points = 64
    var (error, least) = (0.0, 0.0)
    for index in 0..<points {
      let t = 0.02 + (end - 0.02) * (Double(index) + 0.5) / Double(points)
      let kernel = schedule.kernel(at: t)
      let x = kernel.alpha * mixture.sample(4000, using: &data) + kernel.sigma * Tensor.normal([4000, 1], using: &data)
      let target = exactTarget(exact, x, at: t)
      let predicted = run.averagedModel.noise(x.to(.float32), at: t).to(.float64)
      error += (predicted - target.noise).squared().mean().item
      // What no network can know of the noise, in the head's units.
      let gain = try #require(Head.noise.conversion(to: trained.head, at: kernel)).output
      least += trained.weighting(at: kernel) * gain * gain * target.residual!.mean().item
    }
    return Outcome(
      error: error / Double(points), excess: sum / Double(tail) / (least / Double(points)) - 1)
  }

  @Test("Spec: B6.2 a network that predicts the velocity learns it in half of the budget")
  func quick() throws {
    let found = try Self.train(Self.cases[2], .flowMatching, end: 0.98, steps: 3000)
    #expect(found.error <= 0.006, "\(found.error)")
    #expect(abs(found.excess) <= 0.02, "\(found.excess)")
  }

  @Test(
    "Spec: B6.2 every head learns the exact field within the budget", .tags(.slow), .whenAllTestsRun,
    arguments: cases, 0..<3)
  func acceptance(_ trained: Case, _ schedule: Int) throws {
    let (name, end) = Self.schedules[schedule]
    let found = try Self.train(trained, NamedSchedule.named(name), end: end, steps: 6000)
    #expect(found.error <= trained.threshold, "\(name), \(trained): \(found.error)")
    #expect(abs(found.excess) <= 0.02, "\(name), \(trained): \(found.excess)")
  }
}
