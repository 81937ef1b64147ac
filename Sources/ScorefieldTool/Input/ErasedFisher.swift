import Scorefield
import Synchronization

/// Any way to the Fisher, chosen at run time.
struct ErasedFisher: FisherAccess {
  struct At: FisherOperator {
    /// Which traces are proven to be the data's, `bool`, and how far they are at most from it, both `[B]`; nil where nothing is
    /// proven.
    let proof: Proof?
    fileprivate let samples: @Sendable () -> Tensor
    fileprivate let product: @Sendable (Tensor) -> Tensor

    func trace() -> Tensor { samples().mean(0) }
    func traceSamples() -> Tensor { samples() }
    func matvec(_ v: Tensor) -> Tensor { product(v) }
  }

  struct Proof: Sendable { let isExact, bound: Tensor }

  /// The error of `V/d` up to which the nearest points count as all.
  private static let tolerance = 1e-3

  private let at: @Sendable (Tensor, Double) -> At

  init<F: FisherAccess>(_ base: F) where F.Operator: FisherOperator {
    at = { x, t in
      let fisher = base.fisher(at: x, time: t)
      return At(proof: nil, samples: { fisher.traceSamples() }, product: { fisher.matvec($0) })
    }
  }

  /// A trace from one place and products from another.
  init<T: FisherAccess, P: FisherAccess>(trace: T, products: P)
  where T.Operator: FisherTrace, P.Operator: FisherMatvec {
    at = { x, t in
      At(
        proof: nil, samples: { trace.fisher(at: x, time: t).traceSamples() },
        product: { products.fisher(at: x, time: t).matvec($0) })
    }
  }

  /// The nearest points alone.
  init(nearest: RetrievalFisher) {
    at = { x, t in
      let fisher = nearest.fisher(at: x, time: t)
      let isExact = fisher.residualBound .<= Self.tolerance * Double(x.count / x.batch)
      return At(
        proof: Proof(isExact: isExact, bound: fisher.traceBound), samples: { fisher.traceSamples() },
        product: { fisher.matvec($0) })
    }
  }

  /// The nearest points where they are enough, and a learned trace elsewhere.
  init<T: FisherAccess, P: FisherAccess>(trace: T, or nearest: RetrievalFisher, products: P)
  where T.Operator: FisherTrace, P.Operator: FisherMatvec {
    let hybrid = HybridFisher(trace, or: nearest, tolerance: Self.tolerance)
    at = { x, t in
      let fisher = hybrid.fisher(at: x, time: t)
      return At(
        proof: Proof(isExact: fisher.isExact, bound: fisher.traceBound), samples: { fisher.traceSamples() },
        product: { products.fisher(at: x, time: t).matvec($0) })
    }
  }

  func fisher(at x: Tensor, time t: Double) -> At { at(x, t) }
}

/// How many of the traces of a run were proven to be the data's.
final class ProofCounter: Sendable {
  private let counts = Mutex((exact: 0.0, all: 0))

  /// The share; nil where nothing could be proven.
  var share: Double? { counts.withLock { $0.all > 0 ? $0.exact / Double($0.all) : nil } }

  func add(_ proof: ErasedFisher.Proof?) {
    guard let proof else { return }
    let exact = proof.isExact.to(.float64).sum().item
    counts.withLock { $0 = ($0.exact + exact, $0.all + proof.isExact.count) }
  }
}

/// An access whose proofs are counted.
struct CountedProofs: FisherAccess {
  let base: ErasedFisher
  let counter: ProofCounter

  func fisher(at x: Tensor, time t: Double) -> ErasedFisher.At {
    let fisher = base.fisher(at: x, time: t)
    counter.add(fisher.proof)
    return fisher
  }
}

/// A trace head whose evaluations are counted.
struct CountedTrace: FisherAccess, TracedDenoiser {
  let base: TraceMatchedDenoiser
  let counter: EvaluationCounter
  var schedule: any NoiseSchedule { base.schedule }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    counter.increment()
    return base.denoise(x, at: t)
  }

  func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    counter.increment()
    return base.denoiseWithTraces(x, at: t)
  }

  func fisher(at x: Tensor, time t: Double) -> LearnedTrace {
    counter.increment()
    return base.fisher(at: x, time: t)
  }
}

/// A model with its trace whose questions are counted and shown.
struct WatchedTrace: TracedDenoiser {
  let base: any TracedDenoiser
  let progress: FlowProgress
  let counter: EvaluationCounter
  /// Whether the trace is one number, and nothing needs to be asked to know how many estimates there are.
  let isSingle: Bool
  var schedule: any NoiseSchedule { base.schedule }
  var exactField: (any ExactField)? { base.exactField }

  func estimateCount(at x: Tensor, time t: Double) -> Int { isSingle ? 1 : base.estimateCount(at: x, time: t) }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    counter.increment()
    progress.show(t)
    return base.denoise(x, at: t)
  }

  func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    counter.increment()
    progress.show(t)
    return base.denoiseWithTraces(x, at: t)
  }
}
