import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The flow and its Jacobian against DOP853 in each schedule's own time.
@Suite struct FlowJacobianTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let set, schedule: String
    let from, to, fromTime, toTime: Double
    var testDescription: String { "\(set) on \(schedule)" }
    enum CodingKeys: String, CodingKey {
      case set, schedule, from, to
      case fromTime = "from_time"
      case toTime = "to_time"
    }
  }

  struct Truth {
    let golden: Golden
    let cases: [Case]

    init() throws {
      golden = try Golden("flow")
      cases = try golden.metadata("cases")
    }

    func field(_ one: Case) throws -> EmpiricalDenoiser {
      EmpiricalDenoiser(data: try golden["\(one.set).points"], on: NamedSchedule.named(one.schedule))
    }
  }

  @Test(
    "Spec: F6 endpoint and Jacobian are DOP853's within 1e-7, and within their own errors, on every schedule",
    arguments: ["nonaffine", "space"])
  func golden(set: String) throws { try compare(set) }

  @Test(
    "Spec: F6 so they are for more sets", .tags(.slow), .whenAllTestsRun,
    arguments: ["single", "affine", "plane", "line in space"])
  func moreGolden(set: String) throws { try compare(set) }

  private func compare(_ set: String) throws {
    let truth = try Truth()
    #expect(truth.cases.count { $0.set == set } == 5)
    for (index, one) in truth.cases.enumerated() where one.set == set {
      let field = try truth.field(one)
      let found = flowJacobian(
        at: try truth.golden["\(index).x"], under: field, fisher: ExactFisher(field), from: one.fromTime,
        to: one.toTime)
      #expect(found.outcome == .converged)
      let endpoint = (found.endpoint - (try truth.golden["\(index).endpoint"])).norm(-1)
      let matrix = (found.matrix - (try truth.golden["\(index).jacobian"])).norm(-2, -1)
      #expect(endpoint.max().item < 1e-7, "\(one)")
      #expect(matrix.max().item < 1e-7, "\(one)")
      // DOP853 itself is no closer than its own tolerance.
      #expect(
        (endpoint .<= found.endpointError + 1e-10).all(), "\(one): \(endpoint.doubles) \(found.endpointError.doubles)")
      #expect((matrix .<= found.matrixError + 1e-10).all(), "\(one): \(matrix.doubles) \(found.matrixError.doubles)")
      #expect(found.endpointError.max().item < 1e-5 && found.matrixError.max().item < 1e-5, "\(one)")
    }
  }

  @Test("Spec: F6 the error bound is an error bound at every tolerance", arguments: [1e-3, 1e-5])
  func bound(rtol: Double) throws {
    let truth = try Truth()
    for (index, one) in truth.cases.enumerated() where one.set == "space" && one.schedule != "flow" {
      let field = try truth.field(one)
      let found = flowJacobian(
        at: try truth.golden["\(index).x"], under: field, fisher: ExactFisher(field), from: one.fromTime,
        to: one.toTime, accuracy: FlowAccuracy(rtol: rtol, atol: rtol / 10))
      let matrix = (found.matrix - (try truth.golden["\(index).jacobian"])).norm(-2, -1)
      let endpoint = (found.endpoint - (try truth.golden["\(index).endpoint"])).norm(-1)
      #expect((matrix .<= found.matrixError + 1e-10).all(), "\(one): \(matrix.doubles) \(found.matrixError.doubles)")
      #expect((endpoint .<= found.endpointError + 1e-10).all(), "\(one)")
    }
  }

  @Test("Spec: F6 the anchors of the three points, and one flow for VE and EDM, trajectory by trajectory within 1e-7")
  func anchors() throws {
    let truth = try Truth()
    let cases = ["ve", "edm"].map { name in truth.cases.firstIndex { $0.set == "nonaffine" && $0.schedule == name }! }
    let verdicts = try cases.map { index in
      let field = try truth.field(truth.cases[index])
      return transportVerdict(
        at: try truth.golden["\(index).x"], under: field, fisher: ExactFisher(field), from: truth.cases[index].fromTime,
        to: truth.cases[index].toTime)
    }
    for verdict in verdicts {
      expectClose(
        verdict.offDiagonalIndex, Tensor([0.16300550, 0.06748670, 0.08920520, 0.31718986]), within: 3e-8)
      expectClose(
        verdict.asymmetry * 2.0.squareRoot(), Tensor([0.00734155, 0.01121789, 0.00351058, 0.06480947]), within: 2e-7)
      #expect(verdict.answers == [.notOptimal, .notOptimal, .notOptimal, .notOptimal] && verdict.answer == .notOptimal)
      #expect(verdict.smallestEigenvalue.min().item > 0)
    }
    expectClose(verdicts[0].jacobian.endpoint, verdicts[1].jacobian.endpoint, within: 1e-7)
    expectClose(verdicts[0].jacobian.matrix, verdicts[1].jacobian.matrix, within: 1e-7)
  }

  @Test("Spec: F6 single and affine data give optimal maps with indices below 1e-9, in every rotation")
  func affine() throws {
    let single = Tensor(rows: [[0.5, 0.5]])
    let affine = Tensor(rows: [[0.2, -0.4], [0.2, 0.0], [0.2, 0.9]])
    for (data, angle) in [(single, 0.0), (affine, 0), (affine, 0.7), (affine, .pi / 4), (affine, 2)] {
      let turn = Tensor(rows: [[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
      let field = EmpiricalDenoiser(data: data.matmul(turn), on: .edm)
      let verdict = transportVerdict(
        at: SplitMix(seed: 3).unit([40, 2]), under: field, fisher: ExactFisher(field), from: 0.999, to: 1e-3)
      #expect(verdict.asymmetry.max().item < 1e-9, "\(angle)")
      #expect(verdict.offDiagonalIndex.max().item < 1e-9, "\(angle)")
      #expect(verdict.smallestEigenvalue.min().item > 0)
      #expect(verdict.answer == .optimal)
      #expect(verdict.errorBound.max().item < 1e-5)
    }
  }

  @Test("a coarse integration of a map that is not optimal does not call it optimal")
  func undecided() throws {
    let field = EmpiricalDenoiser(data: Tensor(rows: [[0.5, 0.0], [0.0, -0.5], [0.0, 0.0]]), on: .edm)
    func verdict(_ accuracy: FlowAccuracy) -> TransportVerdict {
      transportVerdict(
        at: Tensor(rows: [[-1, 0.5]]), under: field, fisher: ExactFisher(field), from: 0.999, to: 1e-3,
        accuracy: accuracy)
    }
    #expect(verdict(FlowAccuracy(rtol: 0.5, atol: 0.5)).answer == .undecided)
    let stopped = verdict(FlowAccuracy(rtol: 1e-8, stepLimit: 3))
    #expect(stopped.jacobian.outcome == .stepLimit && stopped.answer == .undecided)
    #expect(verdict(FlowAccuracy(rtol: 1e-4)).answer == .notOptimal)
  }

  @Test("Gaussian data have the Jacobian of the closed form, there and back (Spec: C7.5a.5)")
  func gaussian() throws {
    let mixture = try Fixture.gauss3D()
    let covariance = Tensor(rows: [[1, 0.3, 0], [0.3, 0.8, -0.2], [0, -0.2, 0.5]])
    let (values, vectors) = covariance.eigh()
    for named in NamedSchedule.all {
      let field = GaussianMixtureDenoiser(mixture, on: named.schedule)
      let (from, to) = (named.schedule.time(atNoiseToSignal: 0.9), named.schedule.time(atNoiseToSignal: 0.05))
      let (a, b) = (named.schedule.kernel(at: from), named.schedule.kernel(at: to))
      let ratios =
        ((b.alpha * b.alpha) * values + b.sigma * b.sigma) / ((a.alpha * a.alpha) * values + a.sigma * a.sigma)
      let expected = vectors.matmul(ratios.sqrt().diagonalMatrix).matmul(vectors.transposed)
      let x = SplitMix(seed: 8).unit([2, 3])
      let verdict = transportVerdict(at: x, under: field, fisher: ExactFisher(field), from: from, to: to)
      expectClose(verdict.jacobian.matrix, expected.expanded(at: 0).broadcast(to: [2, 3, 3]), within: 1e-8, "\(named)")
      #expect(verdict.answer == .optimal)
      let back = flowJacobian(
        at: verdict.jacobian.endpoint, under: field, fisher: ExactFisher(field), from: to, to: from)
      expectClose(back.endpoint, x, within: 1e-7)
      expectClose(
        back.matrix.matmul(verdict.jacobian.matrix), Tensor.identity(3).expanded(at: 0).broadcast(to: [2, 3, 3]),
        within: 1e-7)
    }
  }

  @Test("Jᵀ v is the transpose of J v, for an exact field and for a network whose score is no gradient")
  func cotangents() throws {
    let points = SplitMix(seed: 4).symmetric([7, 3])
    let field = EmpiricalDenoiser(data: points, on: .variancePreserving)
    let (x, v) = (SplitMix(seed: 5).unit([2, 3]), SplitMix(seed: 6).unit([4, 2, 3]))
    let (from, to) = (0.9, 0.05)
    let dense = flowJacobian(at: x, under: field, fisher: ExactFisher(field), from: from, to: to)
    let back = flowCotangents(v, at: x, under: field, fisher: ExactFisher(field), from: from, to: to)
    let expected = Tensor.einsum("bij,nbi->nbj", dense.matrix, v)
    expectClose(back.tangents, expected, within: 1e-7)
    #expect(((back.tangents - expected).abs() .<= back.tangentErrors + 1e-9).all())
    expectClose(back.endpoint, dense.endpoint, within: 1e-7)

    var generator = Generator(seed: 1)
    let network = MLP(MLP.Configuration(dimension: 3, width: 16, depth: 2), using: &generator).mapParameters {
      $0.to(.float64)
    }
    let learned = NetworkDenoiser(network, .edm(sigmaData: 0.5), on: .edm)
    let forward = flowTangents(v, at: x, under: learned, fisher: JVPFisher(learned), from: 2, to: 0.1)
    let reverse = flowCotangents(v, at: x, under: learned, fisher: VJPFisher(learned), from: 2, to: 0.1)
    for i in 0..<4 {
      for j in 0..<4 {
        expectClose(v[i].dot(forward.tangents[j]), reverse.tangents[i].dot(v[j]), within: 1e-6)
      }
    }
    let skew = v[0].dot(forward.tangents[1]) - v[1].dot(forward.tangents[0])
    #expect(skew.abs().min().item > 1e-5)
  }

  @Test("curl and commutator say where symmetry is lost: an exact field has no curl, and commutes on affine data")
  func diagnostics() throws {
    func look(_ rows: [[Double]]) -> TransportDiagnostics {
      let field = EmpiricalDenoiser(data: Tensor(rows: rows), on: .edm)
      return transportDiagnostics(
        at: Tensor(rows: [[1, 1], [0.25, -0.05]]), under: field, fisher: ExactFisher(field), from: 0.999, to: 1e-3)
    }
    let (affine, corner) = (
      look([[0.2, -0.4], [0.2, 0.0], [0.2, 0.9]]), look([[0.5, 0.0], [0.0, -0.5], [0.0, 0.0]])
    )
    #expect(affine.outcome == .converged && corner.outcome == .converged)
    #expect(corner.ratios.count == 41 && abs(corner.ratios[0] - 0.999) < 1e-12 && abs(corner.ratios[40] - 1e-3) < 1e-15)
    #expect(affine.curl.max().item < 1e-12 && corner.curl.max().item < 1e-12)
    #expect(affine.commutator.max().item < 1e-9 && affine.asymmetry.max().item < 1e-9)
    #expect(corner.commutator.max().item > 0.01 && corner.commutator.max().item <= 1)
    #expect(corner.asymmetry[0].max().item == 0)
    let field = EmpiricalDenoiser(data: Tensor(rows: [[0.5, 0.0], [0.0, -0.5], [0.0, 0.0]]), on: .edm)
    let f = ExactFisher(field).fisher(at: corner.points[8], time: corner.ratios[8]).dense(like: corner.points[8])
    let a = corner.jacobians[8]
    let half = (f.matmul(a) - a.matmul(f)).norm(-2, -1) / (f.norm(-2, -1) * a.norm(-2, -1))
    #expect(half.min().item > 1e-4)
    expectClose(corner.commutator[8] * 2.0.squareRoot(), half, within: 1e-9)
    expectClose(
      corner.asymmetry[40] * 2.0.squareRoot(), Tensor([0.00734155, 0.06480947]), within: 1e-6)
    #expect(corner.jacobians.shape == [41, 2, 2, 2] && corner.points.shape == [41, 2, 2])
  }

  @Test("a verdict follows from a matrix and its error as by hand")
  func byHand() {
    func verdict(_ rows: [[Double]], _ error: Double, _ outcome: Outcome = .converged) -> TransportVerdict {
      let zero = Tensor([0.0])
      return TransportVerdict(
        FlowJacobian(
          endpoint: zero, endpointError: zero, matrix: Tensor(rows: rows).expanded(at: 0), matrixError: Tensor([error]),
          evaluations: 1, outcome: outcome))
    }
    // |A| = 5, |A − Aᵀ| = √2 and |A − diag A| = √5.
    let rows = [[0, 1], [2, 20.0.squareRoot()]]
    let skew = verdict(rows, 0.05)
    #expect(abs(skew.asymmetry.item - 2.0.squareRoot() / 10) < 1e-15)
    #expect(abs(skew.offDiagonalIndex.item - 1 / 5.0.squareRoot()) < 1e-15)
    // ε = 0.01.
    #expect(abs(skew.errorBound.item - (1 + 2.0.squareRoot() / 10) * 0.01 / 0.99) < 1e-15)
    #expect(skew.answers == [.notOptimal])
    // The index is within (1 + 0.1414) ε/(1 − ε) from ε = 0.111 on.
    #expect(verdict(rows, 0.54).answers == [.notOptimal] && verdict(rows, 0.56).answers == [.undecided])
    #expect(verdict(rows, 3).errorBound.item == 1 && verdict(rows, .infinity).answers == [.undecided])
    #expect(verdict(rows, 0.05, .stepLimit).answers == [.undecided])
    // What is beside the diagonal may be nothing.
    #expect(verdict([[1, 1e-9], [0, 1]], 1e-8).offDiagonalIndex.item == 0)
    #expect(abs(verdict([[1, 1e-9], [0, 1]], 1e-10).offDiagonalIndex.item - 1) < 1e-12)
    // Eigenvalues 1 and −1e-3 beside |A| = 1: refuted below an error of that size.
    let indefinite = [[1, 0], [0, -1e-3]]
    #expect(verdict(indefinite, 0.9e-3).answers == [.notOptimal] && verdict(indefinite, 1.1e-3).answers == [.optimal])
    #expect(
      verdict([[1, 0], [0, 2]], 0.03).answers == [.undecided]
        && verdict([[1, 0], [0, 2]], 0.02).answers == [.optimal])
    #expect(TransportAnswer(of: [.optimal, .undecided]) == .undecided && TransportAnswer(of: [.optimal]) == .optimal)
    #expect(TransportAnswer(of: [.undecided, .notOptimal]) == .notOptimal)
  }
}
