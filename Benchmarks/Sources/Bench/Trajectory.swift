import Scorefield

/// What data a trajectory is drawn for; all of variance 1.
enum TrajectoryData: String, CaseIterable {
  /// Colour images of 32×32 that are smooth: 8×8 numbers of each channel, drawn out.
  case smooth
  /// A spectrum that falls as that of photographs, in all directions.
  case photographs
  /// Independent pixels, in which there is nothing to find.
  case noise

  func points(_ count: Int, type: ElementType) -> Tensor {
    var generator = Generator(seed: 0)
    // Rounded once, at the end, where there is something to find that roundings would hide.
    let made = self == .smooth ? .float64 : type
    func normal(_ shape: [Int]) -> Tensor { .normal(shape, type: made, using: &generator) }
    let data: Tensor
    switch self {
    case .noise: data = normal([count, 3072])
    case .photographs:
      data = normal([count, 3072]) * Tensor((1...3072).map { 1 / Double($0) }, shape: [3072]).to(type)
    case .smooth:
      // Lines through eight values, at 32 places.
      let places = (0..<32).map { Double($0) * 7 / 31 }
      let line = Tensor(
        places.flatMap { place in (0..<8).map { max(0, 1 - abs(place - Double($0))) } }, shape: [32, 8]
      ).to(made)
      data = .einsum("ih,jw,bchw->bcij", line, line, normal([count, 3, 8, 8])).flattened
    }
    return (data / data.squared().mean().item.squareRoot()).to(type)
  }
}

/// An exact denoiser along 18 noise levels, from σ = 80 to 0.002, as 18 dense sums and as each level allows.
func trajectory(of kind: TrajectoryData, _ type: ElementType, points count: Int, batch: Int) -> Comparison {
  Comparison(
    title:
      "18 Karras steps through the exact field of \(kind.rawValue), N = \(count), d = 3,072, B = \(batch), \(type.rawValue)",
    rounds: 1, peer: Peer(script: nil, arguments: [])
  ) {
    let data = kind.points(count, type: type)
    let clock = ContinuousClock()
    let begin = clock.now
    let model = CertifiedDenoiser(data: data, on: .edm)
    let setup = clock.now - begin
    var generator = Generator(seed: 1)
    let grid = TimeGrid.karras(17, over: .edm, from: 80, to: 0.002)
    var x = 80 * Tensor.normal([batch, 3072], type: type, using: &generator)
    _ = model.denoise(x, at: 80)

    var (dense, certified) = (Duration.zero, Duration.zero)
    var ways: [CertifiedDenoiser.Way: Int] = [:]
    var (worst, error) = (0.0, 0.0)
    var within = 0
    for (index, t) in grid.times.enumerated() {
      var answer: CertifiedDenoiser.Answer?
      certified += clock.measure { answer = model.certified(x, at: t) }
      var whole: Tensor?
      dense += clock.measure { whole = model.whole.denoise(x, at: t) }
      for way in answer!.ways { ways[way, default: 0] += 1 }
      within += answer!.isWithin.flags.count { $0 }
      worst = max(worst, answer!.errorBound.max().item / model.scale)
      error = max(error, (answer!.mean - whole!).norm(-1).max().item / model.scale)
      guard index + 1 < grid.times.count else { break }
      x = answer!.mean + (grid.times[index + 1] / t) * (x - answer!.mean)
    }
    let total = Double(grid.times.count * batch)
    func figure(_ name: String, _ value: Double, _ unit: String) -> Figure {
      Figure(name: "\(kind.rawValue).\(type.rawValue).\(name)", value: value, unit: unit)
    }
    return [
      figure("build", setup.inSeconds, "s"), figure("dense", dense.inSeconds, "s"),
      figure("trajectories that pay for the build", setup / (dense - certified), "trajectories"),
      figure("answers within the tolerance", Double(within) / total, "share"),
      figure("certified", certified.inSeconds, "s"), figure("dense/certified", dense / certified, "ratio"),
      figure("rank", Double(model.rank), "dimensions"), figure("largest bound", worst, "of the scale"),
      figure("largest difference", error, "of the scale"),
      figure("reduced queries", Double(ways[.reduced] ?? 0) / total, "share"),
      figure("near queries", Double(ways[.near] ?? 0) / total, "share"),
      figure("dense queries", Double(ways[.dense] ?? 0) / total, "share"),
    ]
  }
}

extension Duration {
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
