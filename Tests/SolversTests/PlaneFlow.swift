import Scorefield

/// The mixture of three Gaussians in a plane (`Spec: C9`, fixture G3), on one schedule, and where its flow ends.
struct PlaneFlow: Sendable, CustomStringConvertible {
  let description: String
  let schedule: any NoiseSchedule
  let from, to: Double
  /// The ends of the four starts as the specification prints them, to ten digits.
  let printedEnd: Tensor
  /// The same ends, to twelve.
  let end: Tensor

  private init(description: String, schedule: any NoiseSchedule, from: Double, to: Double, printedEnd: Tensor) {
    (self.description, self.schedule, self.from, self.to) = (description, schedule, from, to)
    self.printedEnd = printedEnd
    end = Self.carry(schedule, TimeGrid([from, to]))[1]
  }

  /// z in `x_T = σ_T z`.
  static let starts = Tensor(rows: [[0.3, -0.7], [-1.1, 0.4], [0.8, 1.2], [-0.2, -1.5]])

  static let mixture: GaussianMixture = {
    do {
      return try GaussianMixture(
        weights: Tensor([0.5, 0.3, 0.2]), means: Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]]),
        covariances: Tensor(
          [0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2]))
    } catch {
      fatalError("\(error)")
    }
  }()

  static let flow = PlaneFlow(
    description: "flow", schedule: .flowMatching, from: 0.95, to: 0.05,
    printedEnd: Tensor(rows: [
      [1.5079376725, -0.4574787552], [-1.1699594273, 1.2894180865], [2.0799880490, 0.5871715584],
      [-0.2886843781, -2.1379505991],
    ]))
  static let edm = PlaneFlow(
    description: "edm", schedule: .edm, from: 5, to: 0.1,
    printedEnd: Tensor(rows: [
      [1.4763380929, -0.5214180610], [-1.2565156598, 1.3363557437], [2.0880889226, 0.6084808281],
      [-0.3548970885, -2.2422870163],
    ]))
  static let vp = PlaneFlow(
    description: "vp", schedule: .variancePreserving, from: 0.9, to: 0.05,
    printedEnd: Tensor(rows: [
      [1.5787481858, -0.4922402230], [-1.2185409510, 1.3299690717], [2.1719603350, 0.6542014531],
      [-0.2726911850, -2.2363071985],
    ]))
  static let trig = PlaneFlow(
    description: "trig", schedule: .trigonometric, from: 0.95, to: 0.05,
    printedEnd: Tensor(rows: [
      [1.5631691097, -0.4897886307], [-1.2363379648, 1.3513686783], [2.1663382516, 0.6189747104],
      [-0.3125887143, -2.2464715605],
    ]))
  static let all = [flow, edm, vp, trig]

  var denoiser: GaussianMixtureDenoiser { GaussianMixtureDenoiser(Self.mixture, on: schedule) }
  var start: Tensor { schedule.sigma(from) * Self.starts }

  func halfLogSNRGrid(_ steps: Int) -> TimeGrid { .uniformHalfLogSNR(steps, over: schedule, from: from, to: to) }
  func timeGrid(_ steps: Int) -> TimeGrid { .uniform(steps, over: schedule, from: from, to: to) }

  /// The flow's own states at the times of a grid.
  func states(_ grid: TimeGrid) -> [Tensor] { Self.carry(schedule, grid) }

  private static func carry(_ schedule: any NoiseSchedule, _ grid: TimeGrid) -> [Tensor] {
    let solver = Adaptive(.dormandPrince, StepController(rtol: 1e-13, atol: 1e-13, norm: .maximum))
    let flow = ProbabilityFlow(GaussianMixtureDenoiser(mixture, on: schedule))
    return Trajectory(from: schedule.sigma(grid.first) * starts, along: grid, with: solver, in: flow).map(\.state)
  }
}

/// The largest difference of two tensors.
func distance(_ a: Tensor, _ b: Tensor) -> Double { (a - b).abs().max().item }
