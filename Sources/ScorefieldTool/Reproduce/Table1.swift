import Scorefield

/// What products of the Fisher and its trace cost with the largest U-Net of the house; its weights are random, for no time depends on them.
struct Table1 {
  struct Setup: Encodable {
    let network = "U-Net for 3×32×32, random weights"
    let parameters, dimension, batch, repetitions, threads: Int
    /// Basis vectors of which the full trace's time is extrapolated.
    let measuredVectors: Int
  }

  /// What is asked of the Fisher.
  enum Task: String, Encodable { case product, trace }

  struct Row: Encodable {
    let task: Task
    let method: String
    let seconds: Double
    /// Of the VJP's time for the same task.
    let shareOfVjp: Double
    let memoryBytes: Int?
    let isExtrapolated: Bool
    /// The paper's seconds, on a GPU with Stable Diffusion 1.5, d = 16,384.
    let paperSeconds: Double?
  }

  let setup: Setup
  let rows: [Row]
  let evaluations: Int

  /// - Parameters:
  ///   - quick: Whether a smaller network and fewer repetitions will do.
  ///   - seed: The seed of weights and points.
  init(quick: Bool, seed: UInt64) {
    var generator = Generator(seed: seed)
    let configuration =
      quick
      ? UNet.Configuration(channels: 3, width: 32, multipliers: [1, 2, 2, 2], blocks: 1, attention: [1], heads: 4)
      : UNet.Configuration.colour32()
    let unet = UNet(configuration, using: &generator)
    let network = TwoHeaded(unet, using: &generator)
    let model = TraceMatchedDenoiser(network, .edm(sigmaData: 0.5), form: NoiseMomentForm(), on: .edm)
    let counter = EvaluationCounter()
    let denoiser = CountedDenoiser(model.denoiser, counter: counter)
    let x = Tensor.normal([1, 3, 32, 32], type: .float32, using: &generator)
    let v = Tensor.normal([1, 3, 32, 32], type: .float32, using: &generator)
    let endpoint = denoiser.denoise(x, at: 1)
    // Beside a sampler, which has asked at the point already.
    let asked = RememberingDenoiser(denoiser)
    _ = asked.denoise(x, at: 1)
    let (repetitions, vectors) = (quick ? 3 : 5, quick ? 4 : 8)

    func product<F: FisherAccess>(_ access: F) -> () -> Void where F.Operator: FisherMatvec {
      { _ = access.fisher(at: x, time: 1).matvec(v).sum().item }
    }
    let products: [(name: String, paper: Double?, work: () -> Void)] = [
      ("vjp", 0.155, product(VJPFisher(denoiser))),
      ("jvp", nil, product(JVPFisher(denoiser))),
      ("finite-difference", nil, product(FiniteDifferenceFisher(denoiser))),
      ("finite-difference beside a sampler", nil, product(FiniteDifferenceFisher(asked))),
      ("endpoint", 0.063, product(EndpointFisher(denoiser, endpoint: endpoint))),
      ("centred", nil, product(EndpointFisher(denoiser, endpoint: endpoint, form: .centred))),
      ("null", nil, product(NullFisher(on: .edm))),
    ]
    let dimension = x.count
    let basis = Tensor.identity(dimension, type: .float32)[..<vectors].reshaped([vectors, 1, 3, 32, 32])
    let traces: [(name: String, paper: Double?, factor: Double, work: () -> Void)] = [
      (
        "vjp", 2195.48, Double(dimension) / Double(vectors),
        { _ = VJPFisher(denoiser).fisher(at: x, time: 1).matvecs(basis).sum().item }
      ),
      (
        "hutchinson:1", nil, 1,
        { _ = Hutchinson(VJPFisher(denoiser), probes: 1, seed: seed).fisher(at: x, time: 1).trace().sum().item }
      ),
      ("matched", 0.072, 1, { _ = model.fisher(at: x, time: 1).trace().sum().item }),
    ]

    let times = Self.seconds(products.map(\.work) + traces.map(\.work), repetitions)
    let memory = (products.map(\.work) + traces.map(\.work)).map { MemoryRecord.rise($0) }
    var rows: [Row] = []
    for (index, product) in products.enumerated() {
      rows.append(
        Row(
          task: .product, method: product.name, seconds: times[index], shareOfVjp: times[index] / times[0],
          memoryBytes: memory[index], isExtrapolated: false, paperSeconds: product.paper))
    }
    let whole = times[products.count] * traces[0].factor
    for (index, trace) in traces.enumerated() {
      let seconds = times[products.count + index] * trace.factor
      rows.append(
        Row(
          task: .trace, method: trace.name, seconds: seconds, shareOfVjp: seconds / whole,
          memoryBytes: memory[products.count + index], isExtrapolated: trace.factor != 1, paperSeconds: trace.paper))
    }
    self.rows = rows
    setup = Setup(
      parameters: unet.parameterCount, dimension: dimension, batch: 1, repetitions: repetitions,
      threads: Threads.count, measuredVectors: vectors)
    evaluations = counter.count
  }

  /// Of each, the median of several, taken in turn.
  private static func seconds(_ works: [() -> Void], _ repetitions: Int) -> [Double] {
    let clock = ContinuousClock()
    var times = [[Double]](repeating: [], count: works.count)
    let progress = Progress("table1", total: repetitions + 1)
    for repetition in 0...repetitions {
      for (index, work) in works.enumerated() {
        let time = clock.measure(work).seconds
        // The first warms up.
        if repetition > 0 { times[index].append(time) }
      }
      progress.show(repetition + 1)
    }
    progress.finish()
    return times.map { $0.sorted()[$0.count / 2] }
  }
}
