import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The losses of the literature as configurations of one engine, against formulas written here.
///
/// The engine averages over the dimensions where the literature sums, and has no ½ where it has: losses are compared after
/// `d ·`, and `½ d ·`.
@Suite struct ObjectiveConfigurationTests {
  static let sigmaData = 0.8
  static let dimension = 3.0

  /// A network that knows nothing, in `float64`.
  static let network: MLP = {
    var generator = Generator(seed: 4)
    return MLP(.init(dimension: 3, width: 16, depth: 2), using: &generator).mapParameters { $0.to(.float64) }
  }()

  /// Shared data, noise and times.
  struct Draws {
    let data = 0.8 * SplitMix(seed: 1).unit([24, 3]) + 0.2
    let noise = SplitMix(seed: 2).unit([24, 3])
    let schedule: any NoiseSchedule
    let times: [Double]

    init(on schedule: any NoiseSchedule, times: [Double]? = nil) {
      self.schedule = schedule
      let range = schedule.timeRange
      self.times =
        times
        ?? SplitMix(seed: 3).uniform(24).map { range.lowerBound + $0 * (range.upperBound - range.lowerBound) }
    }

    /// A number of each time, as a column.
    func column(_ f: (Double) -> Double) -> Tensor { Tensor(times.map(f), shape: [24, 1]) }

    /// `F(c_in x, c_noise)`, from α and σ as columns.
    func output(_ alpha: Tensor, _ sigma: Tensor) -> Tensor {
      let x = alpha * data + sigma * noise
      let scale = (alpha.squared() * (sigmaData * sigmaData) + sigma.squared()).sqrt()
      return network(x / scale, noise: (sigma / alpha).log().squeezed(1))
    }

    /// What the engine makes of the same draws.
    func loss(_ head: Head, _ weighting: Weighting, of weighted: Head? = nil) -> Tensor {
      let objective = DenoisingObjective(times: UniformTimes(0...1), weighting: weighting, of: weighted)
      let model = NetworkDenoiser(network, Preconditioning(head, sigmaData: sigmaData), on: schedule)
      let sample = PathSample(data: data, noise: noise, kernels: KernelBatch(schedule, at: times))
      return objective.loss(of: model, on: sample)
    }
  }

  /// The steps 1 to 999 of DDPM, whose sums and products are written here again: `β`, `ᾱ` before and after each.
  struct Chain {
    let variances: [Double]
    var products: [Double] = []

    init() {
      variances = (0..<1000).map { 1e-4 + (0.02 - 1e-4) * Double($0) / 999 }
      var product = 1.0
      for variance in variances {
        product *= 1 - variance
        products.append(product)
      }
    }

    var draws: Draws {
      Draws(on: .linearDDPM, times: SplitMix(seed: 3).uniform(24).map { 1 + (999 * $0).rounded(.down) })
    }
  }

  @Test("Spec: B6.3 B2.9 the simple loss of DDPM is the noise's error at the steps of a chain, d times ours")
  func simple() {
    let chain = Chain()
    let draws = chain.draws
    let product = draws.column { chain.products[Int($0)] }
    let prediction = draws.output(product.sqrt(), (1 - product).sqrt())
    let expected = (prediction - draws.noise).squared().sum(-1)
    expectClose(Self.dimension * draws.loss(.noise, .constant), expected, within: 1e-10)
  }

  @Test("Spec: B6.3 B2.9 the variational loss of DDPM weighs the data by what a step adds to α²/σ², ½ d times ours")
  func ddpm() {
    let chain = Chain()
    let draws = chain.draws
    let beta = draws.column { chain.variances[Int($0)] }
    let (now, before) = (
      draws.column { chain.products[Int($0)] }, draws.column { chain.products[Int($0) - 1] }
    )
    // μ of the posterior and of the prediction, at the same point.
    let x = now.sqrt() * draws.data + (1 - now).sqrt() * draws.noise
    let prediction = draws.output(now.sqrt(), (1 - now).sqrt())
    let predicted = (x - beta / (1 - now).sqrt() * prediction) / (1 - beta).sqrt()
    let mean = (before.sqrt() * beta * draws.data + (1 - beta).sqrt() * (1 - before) * x) / (1 - now)
    let variance = beta * (1 - before) / (1 - now)
    let expected = ((predicted - mean).squared() / (2 * variance)).sum(-1)

    let loss = draws.loss(.noise, .variationalBound(of: .linearDDPM), of: .data)
    // The two means differ in their last digits but four.
    expectClose(0.5 * Self.dimension * loss, expected, within: 1e-10)
    // The same by the weight of the noise's error.
    let weight = beta.squared() / (2 * variance * (1 - beta) * (1 - now))
    let noisy = (weight * (prediction - draws.noise).squared()).sum(-1)
    expectClose(0.5 * Self.dimension * loss, noisy, within: 1e-10)
  }

  @Test("Spec: B6.3 B3.12 the loss of NCSN is the score's error times σ² on a ladder of levels, ½ d times ours")
  func ncsn() {
    let levels = (0..<10).map { pow(10, -1 + 2 * Double($0) / 9) }
    #expect(abs(levels[4] - 0.774263683) < 1e-9)
    let draws = Draws(on: .edm, times: (0..<24).map { levels[$0 % 10] })
    let sigma = draws.column { $0 }
    let score = draws.output(.ones([24, 1]), sigma)
    let expected = (0.5 * sigma.squared() * (score + draws.noise / sigma).squared()).sum(-1)
    expectClose(0.5 * Self.dimension * draws.loss(.score, .variance), expected, within: 1e-10)
    // With ε̂ = −σ s it is the noise's error.
    let noisy = 0.5 * (-sigma * score - draws.noise).squared().sum(-1)
    expectClose(0.5 * Self.dimension * draws.loss(.score, .constant, of: .noise), noisy, within: 1e-10)
  }

  /// `∫₀ᵗ β` and β of the variance-preserving schedule.
  static func exponent(_ t: Double) -> Double { 0.1 * t + 19.9 * t * t / 2 }
  static func rate(_ t: Double) -> Double { 0.1 + 19.9 * t }

  @Test("Spec: B6.3 B4.11 score matching along an SDE weighs the score's error by g², ½ d times ours")
  func scoreSDE() {
    let draws = Draws(on: .variancePreserving)
    let (alpha, sigma) = (
      draws.column { exp(-0.5 * Self.exponent($0)) }, draws.column { (-expm1(-Self.exponent($0))).squareRoot() }
    )
    let score = draws.output(alpha, sigma)
    let expected = (0.5 * draws.column(Self.rate) * (score + draws.noise / sigma).squared()).sum(-1)
    expectClose(0.5 * Self.dimension * draws.loss(.score, .likelihood), expected, within: 1e-10)
  }

  @Test("Spec: B6.3 B4.17 variational diffusion weighs the data's error by −d(α²/σ²)/dt, ½ d times ours")
  func variational() {
    let draws = Draws(on: .variancePreserving)
    let (alpha, sigma) = (
      draws.column { exp(-0.5 * Self.exponent($0)) }, draws.column { (-expm1(-Self.exponent($0))).squareRoot() }
    )
    // α²/σ² = 1/(e^B − 1).
    let rate = draws.column { Self.rate($0) * exp(Self.exponent($0)) / pow(expm1(Self.exponent($0)), 2) }
    let prediction = draws.output(alpha, sigma)
    let expected = (0.5 * rate * (draws.data - prediction).squared()).sum(-1)
    expectClose(0.5 * Self.dimension * draws.loss(.data, .variationalBound), expected, within: 1e-10)

    // In finitely many steps of 1/20.
    let later = Draws(on: .variancePreserving, times: draws.times.map { max($0, 0.06) })
    let gain = later.column { 1 / expm1(Self.exponent($0 - 0.05)) - 1 / expm1(Self.exponent($0)) }
    let (a, s) = (
      later.column { exp(-0.5 * Self.exponent($0)) }, later.column { (-expm1(-Self.exponent($0))).squareRoot() }
    )
    let discrete = (0.5 * gain * (later.data - later.output(a, s)).squared()).sum(-1)
    let loss = later.loss(.data, .variationalBound(of: .variancePreserving, step: 0.05))
    expectClose(0.5 * Self.dimension * loss, discrete, within: 1e-10)
  }

  @Test("Spec: B6.3 B5.9 conditional flow matching is the velocity's error, d times ours")
  func flow() {
    let draws = Draws(on: .flowMatching)
    let prediction = draws.output(draws.column { 1 - $0 }, draws.column { $0 })
    let expected = (prediction - (draws.noise - draws.data)).squared().sum(-1)
    expectClose(Self.dimension * draws.loss(.velocity, .constant), expected, within: 1e-10)
    let trigonometric = Draws(on: .trigonometric)
    let (alpha, sigma) = (
      trigonometric.column { cos(.pi / 2 * $0) }, trigonometric.column { sin(.pi / 2 * $0) }
    )
    let velocity = (Double.pi / 2) * (alpha * trigonometric.noise - sigma * trigonometric.data)
    let other = (trigonometric.output(alpha, sigma) - velocity).squared().sum(-1)
    expectClose(Self.dimension * trigonometric.loss(.velocity, .constant), other, within: 1e-10)
  }

  @Test("Spec: B6.3 EDM is the denoiser's error times (σ² + σ_d²)/(σ σ_d)², d times ours")
  func edm() {
    let times = SplitMix(seed: 3).uniform(24).map { exp(-1.2 + 1.2 * 3.4 * ($0 - 0.5)) }
    let draws = Draws(on: .edm, times: times)
    let (sigma, deviation) = (draws.column { $0 }, Self.sigmaData)
    let total = sigma.squared() + deviation * deviation
    let x = draws.data + sigma * draws.noise
    let output = draws.output(.ones([24, 1]), sigma)
    let denoised = deviation * deviation / total * x + sigma * deviation / total.sqrt() * output
    let weight = total / (sigma * deviation).squared()
    let expected = (weight * (denoised - draws.data).squared()).sum(-1)
    let loss = draws.loss(.edm(sigmaData: deviation), .edm(sigmaData: deviation), of: .data)
    expectClose(Self.dimension * loss, expected, within: 1e-10)
    // BD.6: with this weight the network's own error has weight 1.
    expectClose(loss, draws.loss(.edm(sigmaData: deviation), .constant), within: 1e-10)
  }

  @Test(
    "Spec: BD.6 the preconditioned loss is the data's loss at ω = 1/c_out², on every schedule",
    arguments: NamedSchedule.all)
  func preconditioned(_ named: NamedSchedule) {
    let range = named.schedule.timeRange
    let times = (0..<24).map { range.lowerBound + (range.upperBound - range.lowerBound) * (Double($0) + 0.5) / 24 }
    let draws = Draws(on: named.schedule, times: times)
    let head = Head.edm(sigmaData: Self.sigmaData)
    expectClose(
      draws.loss(head, .constant), draws.loss(head, .edm(sigmaData: Self.sigmaData), of: .data), within: 1e-10)
    let kernels = times.map(named.schedule.kernel(at:))
    let (alpha, sigma) = (
      Tensor(kernels.map(\.alpha), shape: [24, 1]), Tensor(kernels.map(\.sigma), shape: [24, 1])
    )
    let total = alpha.squared() * (Self.sigmaData * Self.sigmaData) + sigma.squared()
    let target =
      (sigma * draws.data - alpha * (Self.sigmaData * Self.sigmaData) * draws.noise)
      / (Self.sigmaData * total.sqrt())
    let expected = (draws.output(alpha, sigma) - target).squared().mean(-1)
    expectClose(draws.loss(head, .constant), expected, within: 1e-10)
  }

  @Test("the loss of a batch is the loss of what is drawn from it")
  func batches() {
    let draws = Draws(on: .flowMatching)
    let model = NetworkDenoiser(Self.network, Preconditioning(.v, sigmaData: 1), on: .flowMatching)
    for stratified in [false, true] {
      let objective = DenoisingObjective(times: UniformTimes(0.1...0.9), stratified: stratified)
      var (a, b) = (Generator(seed: 1), Generator(seed: 1))
      let batch = TrainingBatch(draws.data)
      let loss = objective.loss(of: model, on: batch, using: &a)
      let sample = objective.sample(of: batch, on: .flowMatching, using: &b)
      #expect(loss.shape == [24] && loss.isIdentical(to: objective.loss(of: model, on: sample)))
      #expect(a.saved.isIdentical(to: b.saved))
    }
  }

  @Test("posteriors of a single point are that point, and the loss with them is the loss of single draws")
  func single() {
    let data = Tensor(rows: [[0.3, -0.2, 0.5]]).broadcast(to: [24, 3])
    let model = NetworkDenoiser(Self.network, Preconditioning(.noise, sigmaData: 1), on: .variancePreserving)
    let plain = DenoisingObjective(times: UniformTimes(0.1...0.9))
    let stable = DenoisingObjective(times: UniformTimes(0.1...0.9), targets: StableTargets(over: data[..<1]))
    var generator = Generator(seed: 1)
    let sample = plain.sample(of: TrainingBatch(data), on: model.schedule, using: &generator)
    expectClose(stable.loss(of: model, on: sample), plain.loss(of: model, on: sample), within: 1e-10)
  }
}
