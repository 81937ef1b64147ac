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

  func fisher(at x: Tensor, time t: Double) -> At { at(x, t) }
}
