import Scorefield

/// The exact field of N points of dimension d at B queries, against the matrix products it is made of and against PyTorch.
func exactField(points count: Int, dimension: Int, batch: Int) -> Comparison {
  let sizes = ["--points", "\(count)", "--dimension", "\(dimension)", "--batch", "\(batch)"]
  return Comparison(
    title: "Exact field, N = \(count), d = \(dimension), B = \(batch), one thread (gemm: the same products alone)",
    rounds: 3,
    peer: Peer(script: "exact_field.py", arguments: sizes + ["--runs", "3"])
  ) {
    [ElementType.float32, .float64].flatMap { type in
      var generator = Generator(seed: 0)
      let data = 2 * Tensor.uniform([count, dimension], type: type, using: &generator) - 1
      let v = 2 * Tensor.uniform([batch, dimension], type: type, using: &generator) - 1
      // σ/α = 3, as the peer has it; on this schedule that is t = 3.
      let model = EmpiricalDenoiser(data: data, on: .edm)
      let chosen = Tensor((0..<batch).map { $0 * 7919 % count })
      let x = data.selecting(chosen) + 3 * Tensor.normal([batch, dimension], type: type, using: &generator)
      let weights = Tensor.uniform([batch, count], type: type, using: &generator)

      let work = 8e-9 * Double(batch * count * dimension)
      let all = seconds(runs: 3) { _ = model.posterior(x, at: 3, along: v) }
      let mean = seconds(runs: 3) { _ = model.denoise(x, at: 3) }
      let products = seconds(runs: 3) {
        for _ in 0..<2 { _ = (x.matmul(data.transposed), weights.matmul(data)) }
      }
      let name = type.rawValue
      return [
        Figure(name: "exact_field.\(name).all", value: all, unit: "s"),
        Figure(name: "exact_field.\(name).score", value: mean, unit: "s"),
        Figure(name: "exact_field.\(name).rate", value: work / all, unit: "GFLOP/s"),
        Figure(name: "gemm.\(name).seconds", value: products, unit: "s"),
        Figure(name: "gemm.\(name).rate", value: work / products, unit: "GFLOP/s"),
        Figure(name: "exact_field.\(name).of_gemm", value: products / all, unit: "share"),
      ]
    }
  }
}
