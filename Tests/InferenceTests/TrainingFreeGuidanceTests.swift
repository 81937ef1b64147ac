import Scorefield
import ScorefieldTestSupport
import Testing

/// Steps that are corrected by a loss of the estimate.
@Suite struct TrainingFreeGuidanceTests {
  private let field: GaussianMixtureDenoiser
  private let target = Tensor([1.0, -0.5])
  private let grid = TimeGrid.uniformHalfLogSNR(30, over: .variancePreserving, from: 0.95, to: 0.02)
  private let start: Tensor

  init() throws {
    let covariances = Tensor([0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2])
    field = GaussianMixtureDenoiser(
      try GaussianMixture(
        weights: Tensor([0.5, 0.3, 0.2]), means: Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]]),
        covariances: covariances), on: .variancePreserving)
    start = SplitMix(seed: 11).unit([200, 2])
  }

  private var loss: @Sendable (Tensor) -> Tensor { { [target] in 0.5 * ($0 - target).squared().sum(-1) } }

  @Test("(Spec: C8.4a.1) without strength it is DDIM, to the last bit")
  func none() {
    let plain = integrate(start, along: grid, with: .ddim, in: field)
    for guidance in [
      TrainingFreeGuidance.data(strength: 0, of: loss), .noise(strength: 0, of: loss),
      .init(noiseStrength: 0, dataStrength: 0.3, dataSteps: 0, of: loss),
    ] {
      #expect(integrate(start, along: grid, with: guidance, in: field).isIdentical(to: plain))
    }
  }

  @Test("(Spec: C8.4a.2) the estimate's slope is (α/σ²) times the posterior's covariance")
  func slope() throws {
    let (x, v, t) = (SplitMix(seed: 12).unit([7, 2]), SplitMix(seed: 13).unit([7, 2]), 0.4)
    let kernel = field.schedule.kernel(at: t)
    let found = vjp(at: x) { field.denoise($0, at: t) }.pullback(v)
    let covariance = field.posterior(x, at: t, along: v).covarianceProduct!
    expectClose(found, (kernel.alpha / (kernel.sigma * kernel.sigma)) * covariance, within: 1e-9)
  }

  @Test("(Spec: C8.4a.3) in the space of the data the estimate goes straight to the target", arguments: [1, 2, 5])
  func contraction(_ steps: Int) {
    let (t, s, strength) = (0.6, 0.5, 0.3)
    var memory = TrainingFreeGuidance.data(strength: strength, steps: steps, of: loss).makeMemory()
    let found = TrainingFreeGuidance.data(strength: strength, steps: steps, of: loss)
      .step(start, from: t, to: s, in: field, memory: &memory)
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let estimate = field.denoise(start, at: t)
    var left = 1.0
    for _ in 0..<steps { left *= 1 - strength }
    let moved = left * estimate + (1 - left) * target
    expectClose(
      found, next.alpha * moved + (next.sigma / now.sigma) * (start - now.alpha * estimate), within: 1e-13)
  }

  @Test("(Spec: C8.4a.4) in the space of the noise it is DDIM of the field that a loss of the estimate tilts")
  func noise() {
    let (t, s, strength) = (0.6, 0.5, 0.7)
    let next = field.schedule.kernel(at: s)
    let guidance = TrainingFreeGuidance.noise(strength: strength, of: loss)
    var memory = guidance.makeMemory()
    let found = guidance.step(start, from: t, to: s, in: field, memory: &memory)
    let tilted = ScoreGuidance(field, scale: strength) { [loss, field] in -loss(field.denoise($0, at: $1)) }
    var none = NoMemory()
    expectClose(found, DDIM().step(start, from: t, to: s, in: tilted, memory: &none), within: 1e-12)
    // Both at once.
    let both = TrainingFreeGuidance(noiseStrength: strength, dataStrength: 0.4, dataSteps: 1, of: loss)
      .step(start, from: t, to: s, in: field, memory: &memory)
    expectClose(both - found, (0.4 * next.alpha) * (target - tilted.denoise(start, at: t)), within: 1e-12)
  }

  @Test("(Spec: C8.4a) strengths may depend on the time")
  func times() {
    let (t, s) = (0.6, 0.5)
    func step(_ noise: GuidanceScale, _ data: GuidanceScale) -> Tensor {
      let guidance = TrainingFreeGuidance(noiseStrength: noise, dataStrength: data, dataSteps: 2, of: loss)
      var memory = guidance.makeMemory()
      return guidance.step(start, from: t, to: s, in: field, memory: &memory)
    }
    expectClose(
      step(GuidanceScale { $0 }, GuidanceScale { 1 - $0 }), step(.constant(0.6), .constant(0.4)), within: 1e-15)
    var none = NoMemory()
    #expect(
      step(.constant(3, within: 0...0.5, else: 0), .constant(3, within: 0.7...1, else: 0)).isIdentical(
        to: DDIM().step(start, from: t, to: s, in: field, memory: &none)))
  }

  @Test("(Spec: C8.4a.5) the loss of the samples falls as the strength grows, in either space and in both")
  func monotone() {
    func mean(_ guidance: TrainingFreeGuidance) -> Double {
      loss(field.denoise(integrate(start, along: grid, with: guidance, in: field), at: grid.last)).mean().item
    }
    for make: (Double) -> TrainingFreeGuidance in [
      { .data(strength: $0, of: loss) }, { .noise(strength: $0, of: loss) },
      { .init(noiseStrength: $0, dataStrength: $0 / 2, dataSteps: 2, repetitions: 2, of: loss) },
    ] {
      let losses = [0, 0.1, 0.3, 1].map { mean(make($0)) }
      #expect(zip(losses, losses.dropFirst()).allSatisfy { $0.0 > $0.1 }, "\(losses)")
    }
  }

  @Test("(Spec: C8.4a.6) a repetition asks the denoiser once, and takes the state back to its own level")
  func repeated() {
    let counter = EvaluationCounter()
    let counted = CountedDenoiser(field, counter: counter)
    _ = integrate(start, along: grid, with: TrainingFreeGuidance.data(strength: 0.3, steps: 3, of: loss), in: counted)
    #expect(counter.count == 30)
    _ = integrate(
      start, along: grid, with: TrainingFreeGuidance.noise(strength: 0.3, repetitions: 2, of: loss), in: counted)
    #expect(counter.count == 90)
    // In the space of the data no derivative of the denoiser is taken.
    struct Undifferentiated: Denoiser {
      let base: GaussianMixtureDenoiser
      var schedule: any NoiseSchedule { base.schedule }
      func denoise(_ x: Tensor, at t: Double) -> Tensor {
        #expect(x.isPlain)
        return base.denoise(x, at: t)
      }
    }
    _ = integrate(
      start, along: grid, with: TrainingFreeGuidance.data(strength: 0.3, steps: 3, of: loss),
      in: Undifferentiated(base: field))
    // Of one point, whose samples are known: the noise that is added is that of the forward process.
    let point = EmpiricalDenoiser(data: Tensor(rows: [[0.4, -0.2]]), on: .variancePreserving)
    let (t, s) = (0.7, 0.3)
    let (now, next) = (point.schedule.kernel(at: t), point.schedule.kernel(at: s))
    let z = SplitMix(seed: 15).unit([200, 2])
    let guidance = TrainingFreeGuidance.noise(strength: 0, repetitions: 2, noise: .given([z]), of: loss)
    var memory = guidance.makeMemory()
    let found = guidance.step(start, from: t, to: s, in: point, memory: &memory)
    let first =
      next.alpha * Tensor([0.4, -0.2]) + (next.sigma / now.sigma) * (start - now.alpha * Tensor([0.4, -0.2]))
    let kept = now.alpha / next.alpha
    let back = kept * first + (now.sigma * now.sigma - kept * kept * next.sigma * next.sigma).squareRoot() * z
    expectClose(
      found, next.alpha * Tensor([0.4, -0.2]) + (next.sigma / now.sigma) * (back - now.alpha * Tensor([0.4, -0.2])),
      within: 1e-12)
  }
}
