import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The worlds of the specification's chapter on transport.
enum Worlds {
  /// `GP`: two Gaussians whose covariances do not commute.
  static let source = (mean: Tensor([0.0, 0]), covariance: Tensor(rows: [[2, 0.6], [0.6, 0.5]]))
  static let target = (mean: Tensor([3.0, -1]), covariance: Tensor(rows: [[1, -0.4], [-0.4, 1.5]]))
  static let squaredDistance = 10.939392210790883

  /// `PC5`: five points and five places.
  static let points = Tensor(
    rows: (0..<5).map { index in
      let i = Double(index)
      return [cos(1.3 * i), sin(2.1 * i)]
    })
  static let places = Tensor(
    rows: (0..<5).map { index in
      let i = Double(index)
      return [0.5 + sin(0.7 * i + 0.3), cos(1.9 * i) - 0.2]
    })

  /// `Z4`: where flows start.
  static let starts = Tensor(rows: [[0.3, -0.7], [-1.1, 0.4], [0.8, 1.2], [-0.2, -1.5]])

  /// `XC`: two thin Gaussians, askew.
  static func crossed() throws -> GaussianMixture {
    func thin(_ angle: Double) -> Tensor {
      let turn = Tensor(rows: [[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
      return (turn * Tensor([2, 0.02])).matmul(turn.transposed)
    }
    return try .init(
      means: Tensor(rows: [[1.5, 0], [-1.5, 0]]), covariances: .stacked([thin(0.8), thin(-0.3)]))
  }

  static func clouds(_ n: Int, _ m: Int, _ d: Int, seed: Int) -> (Tensor, Tensor) {
    (SplitMix(seed: seed).unit([n, d]), SplitMix(seed: seed + 1).unit([m, d]))
  }

  /// The symmetric root of a matrix.
  static func root(_ matrix: Tensor) -> Tensor {
    let (values, vectors) = matrix.eigh()
    return (vectors * values.sqrt()).matmul(vectors.transposed)
  }
}

/// The largest difference between two tensors.
func difference(_ a: Tensor, _ b: Tensor) -> Double { a.shape == b.shape ? (a - b).abs().max().item : .infinity }

/// Words of a process that stopped.
func expectWords(_ words: String, _ result: ExitTest.Result?, sourceLocation: SourceLocation = #_sourceLocation) {
  let found = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
  #expect(found.contains(words), sourceLocation: sourceLocation)
}
