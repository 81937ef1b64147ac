import Scorefield

/// Any way to the Fisher, chosen at run time.
struct ErasedFisher: FisherAccess {
  struct At: FisherOperator {
    fileprivate let samples: @Sendable () -> Tensor
    fileprivate let product: @Sendable (Tensor) -> Tensor

    func trace() -> Tensor { samples().mean(0) }
    func traceSamples() -> Tensor { samples() }
    func matvec(_ v: Tensor) -> Tensor { product(v) }
  }

  private let at: @Sendable (Tensor, Double) -> At

  init<F: FisherAccess>(_ base: F) where F.Operator: FisherOperator {
    at = { x, t in
      let fisher = base.fisher(at: x, time: t)
      return At(samples: { fisher.traceSamples() }, product: { fisher.matvec($0) })
    }
  }

  /// A trace from one place and products from another.
  init<T: FisherAccess, P: FisherAccess>(trace: T, products: P)
  where T.Operator: FisherTrace, P.Operator: FisherMatvec {
    at = { x, t in
      At(
        samples: { trace.fisher(at: x, time: t).traceSamples() },
        product: { products.fisher(at: x, time: t).matvec($0) })
    }
  }

  func fisher(at x: Tensor, time t: Double) -> At { at(x, t) }
}

/// A model with its trace whose questions are counted and shown.
struct WatchedTrace: TracedDenoiser {
  let base: any TracedDenoiser
  let progress: FlowProgress
  let counter: EvaluationCounter
  var schedule: any NoiseSchedule { base.schedule }
  var exactField: (any ExactField)? { base.exactField }

  func estimateCount(at x: Tensor, time t: Double) -> Int { base.estimateCount(at: x, time: t) }

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
