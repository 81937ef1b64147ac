import Scorefield
import ScorefieldTestSupport
import Testing

/// What follows from products.
@Suite struct OperatorTests {
  @Test("Spec: F1 matrix, diagonal and quadratic form are those of the products", arguments: World.all)
  func dense(_ world: World) {
    let fisher = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t)
    let dense = fisher.dense(like: world.x)
    expectClose(Tensor.einsum("bij,bj->bi", dense, world.v), fisher.matvec(world.v), within: 1e-11)
    expectClose(fisher.diagonal(like: world.x), dense.diagonal, within: 1e-14)
    expectClose(
      fisher.quadraticForm(world.v), Tensor.einsum("bi,bij,bj->b", world.v, dense, world.v), within: 1e-10)
  }

  @Test("a matrix is columns of products, row index first, in as many parts as it takes")
  func orientation() {
    let matrix = SplitMix(seed: 1).unit([700, 700])
    let fisher = MatrixFisher(matrix)
    let x = Tensor.zeros([1, 700])
    expectClose(fisher.dense(like: x)[0], matrix, within: 1e-14)
    expectClose(fisher.diagonal(like: x)[0], matrix.diagonal, within: 1e-14)
    expectClose(fisher.hilbertSchmidtNorm(like: x)[0], matrix.norm(), within: 1e-13)
    #expect(fisher.products == 2100)
    expectClose(
      Hutchinson(fisher, probes: 900, seed: 1).fisher(at: x, time: 1).trace(),
      Hutchinson(fisher, probes: 900, seed: 1).fisher(at: x, time: 2).trace(), within: 0)
  }

  static let orders: [SpectrumOrder] = [.largestAlgebraic, .smallestAlgebraic, .largestMagnitude]

  @Test("Spec: F1 eigenpairs are those of the matrix, multiple ones and all", arguments: orders, [1, 3, 6])
  func eigenpairs(_ order: SpectrumOrder, _ count: Int) {
    for ratio in [0.2, 0.5, 2] {
      // Rank 11 in 30 dimensions: 1/σ² has 19 of the eigenvectors.
      let world = World(ratio: ratio, dimension: 30)
      let fisher = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t)
      check(fisher, fisher.dense(like: world.x), world.x, order, count)
    }
  }

  @Test("Spec: F1 as many pairs as dimensions, or more, are all of them", arguments: orders)
  func allPairs(_ order: SpectrumOrder) {
    let world = World(ratio: 0.5)
    let fisher = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t)
    for count in [4, 9] {
      check(fisher, fisher.dense(like: world.x), world.x, order, count)
      let pairs = fisher.topEigenpairs(count, like: world.x)
      let rebuilt = Tensor.einsum("bki,bk,bkj->bij", pairs.vectors, pairs.values, pairs.vectors)
      expectClose(rebuilt, fisher.dense(like: world.x), within: 1e-11)
    }
  }

  @Test("an invariant subspace is left for the rest of the space", arguments: orders)
  func breakdown(_ order: SpectrumOrder) {
    let x = Tensor.zeros([2, 9])
    check(MatrixFisher(3 * Tensor.identity(9)), (3 * Tensor.identity(9)).broadcast(to: [2, 9, 9]), x, order, 4)
    check(MatrixFisher(Tensor.zeros([9, 9])), Tensor.zeros([2, 9, 9]), x, order, 2)
    // Two eigenvalues: the second block of three adds nothing in some columns.
    let two = Tensor([5.0, 5, 5, 5, 5, 5, 5, -6, -6]).diagonalMatrix
    check(MatrixFisher(two), two.broadcast(to: [2, 9, 9]), x, order, 3)
    check(MatrixFisher(two), two.broadcast(to: [2, 9, 9]), x, order, 8)
  }

  @Test("a breakdown at one point leaves the other points alone")
  func mixedBreakdown() {
    let matrices = Tensor.stacked([Tensor.identity(8), SplitMix(seed: 4).unit([8, 8])])
    let symmetric = matrices + matrices.transposed
    struct Batch: FisherMatvec {
      let matrices: Tensor
      func matvec(_ v: Tensor) -> Tensor { .einsum("bij,bj->bi", matrices, v) }
    }
    for order in Self.orders { check(Batch(matrices: symmetric), symmetric, .zeros([2, 8]), order, 2) }
  }

  @Test("a few eigenpairs of a large Fisher cost far fewer products than it has dimensions")
  func economy() {
    let values = Tensor((0..<500).map { $0 < 3 ? 10.0 - Double($0) : 1 / Double($0) })
    let (q, _) = SplitMix(seed: 5).unit([500, 500]).qr()
    let matrix = (q * values).matmul(q.transposed)
    let fisher = MatrixFisher(0.5 * (matrix + matrix.transposed))
    let pairs = fisher.topEigenpairs(3, like: .zeros([2, 500]))
    expectClose(pairs.values, Tensor([10.0, 9, 8]).broadcast(to: [2, 3]), within: 1e-12)
    #expect(pairs.products == fisher.products && pairs.products <= 60, "\(pairs.products)")
    #expect(pairs.residuals.max().item < 1e-10)
  }

  @Test("where products run out, the residuals say so")
  func unsettled() {
    let matrix = Tensor((0..<400).map { 1 + Double($0) / 400 }).diagonalMatrix
    let fisher = MatrixFisher(matrix)
    let x = Tensor.zeros([1, 400])
    let pairs = fisher.topEigenpairs(2, like: x, maximumProducts: 9)
    #expect(fisher.products == 9 && pairs.products == 9)
    #expect(pairs.residuals.min().item > 1e-3)
    // Weyl: an eigenvalue lies within the residual.
    let found = pairs.values.reshaped(2, 1)
    #expect(((found - matrix.diagonal).abs().min(-1) .<= pairs.residuals[0]).all())
    #expect(fisher.topEigenpairs(2, like: x).products == 128)
  }

  @Test("float32 settles at its own precision")
  func singlePrecision() {
    let world = World(ratio: 0.5, dimension: 30)
    let dense = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).dense(like: world.x)[0]
    let fisher = MatrixFisher(dense.to(.float32))
    let pairs = fisher.topEigenpairs(2, like: world.x[0..<1].to(.float32), order: .smallestAlgebraic)
    #expect(pairs.values.elementType == .float32 && pairs.products < 30)
    expectClose(pairs.values.to(.float64)[0], dense.eigh().values[0..<2], within: 1e-5)
  }

  private func check(
    _ fisher: some FisherMatvec, _ dense: Tensor, _ x: Tensor, _ order: SpectrumOrder, _ count: Int,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let all = dense.eigh().values
    let key =
      switch order {
      case .largestAlgebraic: all
      case .smallestAlgebraic: -all
      case .largestMagnitude: all.abs()
      }
    let expected = all.gathered(key.sorted(descending: true).positions[Axis.all, 0..<count], 1)
    let pairs = fisher.topEigenpairs(count, like: x, order: order)
    let scale = Swift.max(all.abs().max().item, 1e-300)
    func near(_ a: Tensor, _ b: Tensor) -> Bool { ((a - b).abs() .<= 1e-10 * scale).all() }
    #expect(pairs.values.shape == expected.shape && near(pairs.values, expected), sourceLocation: sourceLocation)

    let products = Tensor.einsum("bij,bkj->bki", dense, pairs.vectors)
    let residuals = (products - pairs.values.expanded(at: 2) * pairs.vectors).norm(-1)
    #expect(
      near(residuals, pairs.residuals) && near(residuals, .zeros(like: residuals)), sourceLocation: sourceLocation)
    let gram = pairs.vectors.matmul(pairs.vectors.transposed)
    #expect((gram - .identity(gram.shape[1])).abs().max().item < 1e-12, sourceLocation: sourceLocation)
  }
}
