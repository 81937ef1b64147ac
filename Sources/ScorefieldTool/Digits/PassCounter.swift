import Scorefield

/// Counts the evaluations of functions of tensors, and how many of them are differentiated: each of these has a pass back.
struct PassCounter {
  let evaluations = EvaluationCounter()
  let passesBack = EvaluationCounter()

  /// One evaluation at points.
  func count(_ x: Tensor) {
    evaluations.increment()
    if !x.isPlain { passesBack.increment() }
  }

  /// A denoiser whose evaluations are counted.
  func counting(_ base: any Denoiser) -> Counting { Counting(base: base, counter: self) }

  struct Counting: Denoiser {
    fileprivate let base: any Denoiser
    fileprivate let counter: PassCounter
    var schedule: any NoiseSchedule { base.schedule }

    func denoise(_ x: Tensor, at t: Double) -> Tensor {
      counter.count(x)
      return base.denoise(x, at: t)
    }
  }
}
