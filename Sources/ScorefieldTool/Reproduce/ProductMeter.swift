import Scorefield

/// What one evaluation of the Fisher and one product cost, for a batch of states of guided sampling.
struct ProductMeter {
  let world: GuidedDigits
  let batch, repetitions: Int
  let seed: UInt64

  /// Noise levels within those that are guided.
  private static let ratios = [3, 1, 0.4]

  private func states(_ count: Int) -> (x: Tensor, v: Tensor) {
    var generator = Generator(seed: seed + 60)
    let known = world.digits.known(.float32)
    let picked = known.selecting(Tensor.randomIntegers([count], in: 0..<known.batch, using: &generator))
    return (picked, Tensor.normal([count, 8, 8], type: .float32, using: &generator))
  }

  private func product(_ method: FisherProducts.Method, _ denoiser: any Denoiser, _ x: Tensor, _ v: Tensor, _ t: Double)
  {
    _ = method.products(denoiser, PathEnd(withoutLoss: x)).fisher(at: x, time: t).matvec(v).sum().item
  }

  /// The model beside a sampler, which asked it there before: differences need not ask again.
  private func asked(_ model: any Denoiser, _ x: Tensor, _ t: Double) -> RememberingDenoiser {
    let remembering = RememberingDenoiser(model)
    _ = remembering.denoise(x, at: t)
    return remembering
  }

  /// Of each, the median of many, taken in turn so that what else the machine does is the same for all.
  func milliseconds(_ methods: [FisherProducts.Method]) -> [Double] {
    let (x, v) = states(batch)
    let noisy = Self.ratios.map { (t: $0, x: x + $0 * v) }
    let clock = ContinuousClock()
    var times = [[Double]](repeating: [], count: methods.count)
    for repetition in 0..<(repetitions + 2) {
      for (index, method) in methods.enumerated() {
        // Anew: what a product asked must not be remembered from the one before.
        let models = noisy.map { asked(world.model, $0.x, $0.t) }
        let start = clock.now
        for ((t, x), model) in zip(noisy, models) { product(method, model, x, v, t) }
        // The first two warm up.
        if repetition >= 2 { times[index].append(1000 * (clock.now - start).seconds / Double(noisy.count)) }
      }
    }
    return times.map { $0.sorted()[$0.count / 2] }
  }

  /// Of the denoiser, in one evaluation and product.
  func evaluations(_ method: FisherProducts.Method) -> Int {
    let (x, v) = states(2)
    let denoiser = CountedDenoiser(world.model)
    let remembering = asked(denoiser, x + v, 1)
    product(method, remembering, x + v, v, 1)
    return denoiser.counter.count - 1
  }

  /// The points of the batch whose memory is measured.
  static let memoryBatch = 1000

  /// How far the resident memory rises above what it is before; nil where the system keeps no such record.
  func memory(_ method: FisherProducts.Method) -> Int? {
    let (x, v) = states(Self.memoryBatch)
    let noisy = x + v
    let model = asked(world.model, noisy, 1)
    return MemoryRecord.rise { product(method, model, noisy, v, 1) }
  }
}
