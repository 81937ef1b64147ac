import Scorefield
import ScorefieldTestSupport
import Testing

/// What is no mixture, and the sentence that says so.
@Suite struct MixtureErrorTests {
  @Test("numbers that are no mixture are refused in one sentence")
  func numbers() {
    func check(_ sentence: String, _ make: () throws(MixtureError) -> GaussianMixture) {
      let error = #expect(throws: MixtureError.self) { try make() }
      #expect(error?.description == sentence)
    }
    let (means, ones) = (Tensor(rows: [[0, 1], [2, 3]]), Tensor([1, 1]).to(.float64))
    func weighted(_ weights: Tensor) -> () throws(MixtureError) -> GaussianMixture {
      { () throws(MixtureError) in try GaussianMixture(weights: weights, means: means, standardDeviations: ones) }
    }
    func full(_ covariances: Tensor) -> () throws(MixtureError) -> GaussianMixture {
      { () throws(MixtureError) in try GaussianMixture(means: means, covariances: covariances) }
    }
    func spread(_ deviations: Tensor) -> () throws(MixtureError) -> GaussianMixture {
      { () throws(MixtureError) in try GaussianMixture(means: means, standardDeviations: deviations) }
    }
    func located(_ means: Tensor) -> () throws(MixtureError) -> GaussianMixture {
      { () throws(MixtureError) in try GaussianMixture(means: means, standardDeviations: ones) }
    }

    check("means have shape [2]; give at least one mean, as a row of numbers", located(Tensor([0.0, 1])))
    check("means have shape [0, 2]; give at least one mean, as a row of numbers", located(Tensor.zeros([0, 2])))
    check("a mean holds a NaN or an infinity; give finite numbers", located(Tensor(rows: [[0, Double.nan], [1, 2]])))
    check("weights have shape [3], the means [2, 2]; give one weight per mean", weighted(Tensor([0.1, 0.2, 0.3])))
    check("a weight is a NaN or an infinity; give finite numbers", weighted(Tensor([1, Double.infinity])))
    check("a weight is negative; give numbers that are 0 or larger", weighted(Tensor([1, -0.5])))
    check("all weights are 0; give at least one that is larger", weighted(Tensor([0.0, 0])))

    check(
      "standard deviations have shape [3], the means [2, 2]; give one per mean, or one per number of a mean",
      spread(Tensor.ones([3])))
    check("a standard deviation is a NaN or an infinity; give finite numbers", spread(Tensor([1, Double.nan])))
    check("a standard deviation is negative; give numbers that are 0 or larger", spread(Tensor([1, -1e-9])))

    check("covariances have shape [2, 2], the means [2, 2]; give one 2 × 2 matrix per mean", full(Tensor.identity(2)))
    func second(_ values: [Double]) -> Tensor { Tensor([1, 0, 0, 1] + values, shape: [2, 2, 2]) }
    check("a covariance holds a NaN or an infinity; give finite numbers", full(second([1, 0, 0, Double.nan])))
    check(
      "covariance 1 is not symmetric; give a matrix that equals its transpose", full(second([1e-11, 1e-12, 0, 1e-11])))
    check(
      "covariance 1 has the negative eigenvalue -1.0; give a positive semidefinite matrix",
      full(second([1, 2, 2, 1])))
  }

  @Test("weights of any size are normalised, and roundings are no faults")
  func tolerance() throws {
    let means = Tensor(rows: [[0, 1], [2, 3]])
    let huge = try GaussianMixture(
      weights: Tensor([1e308, 1.5e308]), means: means, standardDeviations: Tensor.ones([2]))
    expectClose(huge.weights, Tensor([0.4, 0.6]), within: 1e-15)
    // Of rank 1, with an eigenvalue a rounding below 0.
    let row = Tensor(rows: [[0.1], [0.7]])
    let flat = try GaussianMixture(means: means[..<1], covariances: row.matmul(row.transposed).expanded(at: 0) - 1e-17)
    #expect((flat.variances .>= 0).all() && abs(flat.variances.max().item - 0.5) < 1e-15)
  }

  private func parse(_ text: String) throws(ArrayFileError) -> GaussianMixture {
    let bytes = Array(text.utf8).withUnsafeBytes { Bytes(copying: $0) }
    return try GaussianMixture(json: bytes, name: "m.json")
  }

  @Test("a mixture is read from JSON in every form of its spread")
  func json() throws {
    let full = try parse(
      #"{"weights": [1, 3], "means": [[0, 1], [2, 3]], "covariances": [[[1, 0.5], [0.5, 2]], [[1, 0], [0, 4]]]}"#)
    expectClose(full.weights, Tensor([0.25, 0.75]), within: 1e-15)
    #expect(full.means.isIdentical(to: Tensor(rows: [[0, 1], [2, 3]])))
    expectClose(full.covariances, Tensor([1, 0.5, 0.5, 2, 1, 0, 0, 4], shape: [2, 2, 2]), within: 1e-15)
    let round = try parse(#"{"means": [[0, 1], [2, 3]], "stds": [0.5, 2], "weights": [1, 1], "note": "ours"}"#)
    expectClose(round.variances, Tensor(rows: [[0.25, 0.25], [4, 4]]), within: 0)
    let diagonal = try parse(#"{"weights": [1, 1], "means": [[0, 1], [2, 3]], "stds": [[1, 2], [3, 0]]}"#)
    expectClose(diagonal.variances, Tensor(rows: [[1, 4], [9, 0]]), within: 0)
  }

  static let faults: [(text: String, sentence: String)] = [
    ("{", "m.json: is not JSON, or holds a number that is not finite; \(form)"),
    ("[1, 2]", "m.json: is JSON but no object; \(form)"),
    (#"{"means": [[1]], "stds": [1]}"#, "m.json: has no 'weights'; \(form)"),
    (#"{"weights": [1], "stds": [1]}"#, "m.json: has no 'means'; \(form)"),
    (
      #"{"weights": [1], "means": [[1]]}"#,
      "m.json: has neither 'covariances' nor 'stds'; give the components one of them"
    ),
    (
      #"{"weights": [1], "means": [[1]], "stds": [1], "covariances": [[[1]]]}"#,
      "m.json: has both 'covariances' and 'stds'; remove one of them"
    ),
    (
      #"{"weights": [1], "means": [[1, "a"]], "stds": [1]}"#, "m.json: 'means[0][1]' is not a number; \(form)"
    ),
    (#"{"weights": [1], "means": [[1, null]], "stds": [1]}"#, "m.json: 'means[0][1]' is not a number; \(form)"),
    (#"{"weights": 1, "means": [[1]], "stds": [1]}"#, "m.json: 'weights' is not a list; \(form)"),
    (
      #"{"weights": [1], "means": [[1]], "stds": "wide"}"#,
      "m.json: 'stds' is not a list of numbers or of lists of them; \(form)"
    ),
    (
      #"{"weights": [1], "means": [[1e999]], "stds": [1]}"#,
      "m.json: is not JSON, or holds a number that is not finite; \(form)"
    ),
    (#"{"weights": [], "means": [], "stds": []}"#, "m.json: 'means' is empty; give at least one mean of numbers"),
    (
      #"{"weights": [1, 1], "means": [[1, 2], [1]], "stds": [1, 1]}"#,
      "m.json: mean 1 of 'means' has 1 numbers, the first 2; give all of them as many"
    ),
    (
      #"{"weights": [1], "means": [[1, 2]], "covariances": [[[1, 0], [0]]]}"#,
      "m.json: covariance 0 is not 2 × 2, the means are of 2 numbers; give square matrices of that size"
    ),
    (
      #"{"weights": [1], "means": [[1]], "stds": [-1]}"#,
      "m.json: a standard deviation is negative; give numbers that are 0 or larger"
    ),
    (
      #"{"weights": [-1], "means": [[1]], "covariances": [[[1]]]}"#,
      "m.json: a weight is negative; give numbers that are 0 or larger"
    ),
  ]
  static let form = #"write {"weights": […], "means": [[…], …], "stds": […]}"#

  @Test("a JSON file that is no mixture is refused in one line", arguments: faults)
  func refused(_ fault: (text: String, sentence: String)) {
    let error = #expect(throws: ArrayFileError.self) { try parse(fault.text) }
    #expect(error?.description == fault.sentence)
    #expect(error?.category == .badData)
  }

  @Test("a file that is not there is missing")
  func missing() {
    let error = #expect(throws: ArrayFileError.self) { try GaussianMixture(json: "/nowhere/m.json") }
    #expect(error?.description == "/nowhere/m.json: no such file; check the path" && error?.category == .missing)
  }
}
