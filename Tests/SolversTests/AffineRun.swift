import Scorefield

/// A run of a sampler on Gaussian data, `x = k x_T + c + Σᵢ nᵢ ξᵢ`: exact scores are affine, and so is all that follows.
///
/// One batch finds it: a row that starts at 0, one at 1, and one for each draw that alone is 1.
struct AffineRun {
  let slope, offset: Double
  /// `nᵢ`, of each draw.
  let noise: [Double]

  /// A run that asks `draws` times for noise.
  init(draws: Int, _ run: (_ start: Tensor, _ noise: NoiseSource) -> Tensor) {
    let rows = draws + 2
    func unit(_ row: Int) -> Tensor { Tensor((0..<rows).map { $0 == row ? 1.0 : 0 }, shape: [rows, 1]) }
    let ends = run(unit(1), .given((0..<draws).map { unit($0 + 2) })).doubles
    offset = ends[0]
    slope = ends[1] - ends[0]
    noise = ends[2...].map { $0 - ends[0] }
  }

  func mean(_ mean: Double) -> Double { slope * mean + offset }
  func variance(_ variance: Double) -> Double {
    slope * slope * variance + noise.reduce(0) { $0 + $1 * $1 }
  }

  /// A single step.
  static func step<S: Solver>(
    from t: Double, to s: Double, in field: any Denoiser, _ solver: (NoiseSource) -> S
  ) -> AffineRun where S.Field == any Denoiser {
    AffineRun(draws: 1) { start, noise in
      let solver = solver(noise)
      var memory = solver.makeMemory()
      return solver.step(start, from: t, to: s, in: field, memory: &memory)
    }
  }

  /// A whole grid, with a draw in each step.
  static func along<S: Solver>(
    _ grid: TimeGrid, in field: any Denoiser, draws: Int? = nil, _ solver: (NoiseSource) -> S
  ) -> AffineRun where S.Field == any Denoiser {
    AffineRun(draws: draws ?? grid.steps) { start, noise in
      integrate(start, along: grid, with: solver(noise), in: field)
    }
  }
}
