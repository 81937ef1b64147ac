import Scorefield
import ScorefieldTestSupport
import Testing

/// A denoiser whose own Jacobian is trained.
@Suite struct SecondOrderTests {
  private static let data = Tensor(rows: [[0.3, -0.2]])
  private static let objective = SecondOrderObjective(
    DenoisingObjective(times: UniformTimes(0.5...0.5), targets: StableTargets(over: data)), weight: 2)

  private func loss(_ slope: Double, _ offset: Tensor) -> Double {
    // On EDM at t = ½ with σ_d = 1 the question is x/√1.25: the data head's answer is slope · x + offset.
    let network = FunctionNetwork(dimension: 2) { x, _ in
      (slope * 1.25.squareRoot() * x + offset, .zeros([x.batch]))
    }
    let model = NetworkDenoiser(network, Preconditioning(.data, sigmaData: 1), on: .edm)
    var generator = Generator(seed: 1)
    return Self.objective.loss(of: model, on: TrainingBatch(Self.data), using: &generator).item
  }

  @Test("Spec: F8 one point's own denoiser, which is constant, has no loss")
  func exact() { #expect(abs(loss(0, Self.data)) < 1e-14) }

  @Test("Spec: F8 a slope counts by the trace it gives, V/d = α · slope, where V is 0")
  func slope() {
    // The denoiser's own loss is what is left when the trace weighs nothing.
    let denoising = DenoisingObjective(times: UniformTimes(0.5...0.5), targets: StableTargets(over: Self.data))
    for slope in [0.25, -0.5] {
      let network = FunctionNetwork(dimension: 2) { x, _ in
        (slope * 1.25.squareRoot() * x + Self.data, .zeros([x.batch]))
      }
      let model = NetworkDenoiser(network, Preconditioning(.data, sigmaData: 1), on: .edm)
      var generator = Generator(seed: 1)
      let main = denoising.loss(of: model, on: TrainingBatch(Self.data), using: &generator).item
      // g = 1, and Gaussian data would have ¼/1.25 = 0.2: n = √0.8.
      let expected = main + 2 * abs(slope) / 0.8.squareRoot()
      #expect(abs(loss(slope, Self.data) - expected) < 1e-7, "\(loss(slope, Self.data)) \(expected)")
    }
  }

  @Test("its gradient is that of differences, through the derivative that is in it")
  func gradient() {
    var generator = Generator(seed: 2)
    let points = SplitMix(seed: 3).symmetric([20, 2])
    let objective = SecondOrderObjective(
      DenoisingObjective(times: UniformTimes(0.2...0.9), targets: StableTargets(over: points)))
    let network = MLP(.init(dimension: 2, width: 6, depth: 2), using: &generator).mapParameters { $0.to(.float64) }
    let model = NetworkDenoiser(network, .edm(sigmaData: 0.6), on: .edm)
    func loss(_ parameters: [Tensor]) -> Tensor {
      var draws = Generator(seed: 5)
      return objective.loss(
        of: model.replacing(parameters: parameters), on: TrainingBatch(points), using: &draws
      ).mean()
    }
    let parameters = model.parameters
    let (_, gradients) = valueAndGradients(at: parameters) { loss($0) }
    for place in [0, 2, 4] {
      let direction = SplitMix(seed: place + 10).unit(parameters[place].shape)
      func moved(_ h: Double) -> Double {
        var changed = parameters
        changed[place] = parameters[place] + h * direction
        return loss(changed).item
      }
      let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
      #expect(abs((gradients[place] * direction).sum().item - slope) < 1e-6 * max(1, abs(slope)))
    }
  }
}
