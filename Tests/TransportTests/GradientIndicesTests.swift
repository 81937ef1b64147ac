import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GradientIndicesTests {
  private let matrices = Tensor(
    [[2, 1, 1, 3], [0, 5, -5, 0], [4, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, -2]].flatMap { $0 }, shape: [5, 2, 2])

  @Test("the indices of matrices known by hand (Spec: C7.2b.5)") func byHand() {
    let indices = GradientIndices(of: matrices)
    expectClose(indices.asymmetry, Tensor([0, 1, 8.0.squareRoot() / (2 * 21.0.squareRoot()), 0, 0]), within: 1e-15)
    expectClose(indices.offDiagonal, Tensor([0, 2.0.squareRoot(), 1, 0, 0]), within: 1e-15)
    let least = [(5 - 5.0.squareRoot()) / 2, 0, (5 - 13.0.squareRoot()) / 2, 0, -2]
    expectClose(indices.smallestEigenvalue, Tensor(least), within: 1e-15)
  }

  @Test("a factor changes neither index and scales the eigenvalue (Spec: C7.2b.5)", arguments: [1e-200, 3, 1e200])
  func scale(factor: Double) {
    let (plain, scaled) = (GradientIndices(of: matrices), GradientIndices(of: factor * matrices))
    expectClose(scaled.asymmetry, plain.asymmetry, within: 1e-15)
    expectClose(scaled.offDiagonal, plain.offDiagonal, within: 1e-15)
    expectClose(scaled.smallestEigenvalue / factor, plain.smallestEigenvalue, within: 1e-14)
  }

  @Test("the answers are float64 whatever the matrices are (Spec: C7.2b.5)") func single() {
    let indices = GradientIndices(of: matrices.to(.float32))
    #expect(indices.asymmetry.elementType == .float64)
    expectClose(indices.offDiagonal, GradientIndices(of: matrices).offDiagonal, within: 1e-15)
  }

  @Test("matrices that are not square stop with their shape") func notSquare() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = GradientIndices(of: .zeros([4, 2, 3]))
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("GradientIndices(of: [4, 2, 3]): needs square matrices, [B, d, d]"))
  }
}
