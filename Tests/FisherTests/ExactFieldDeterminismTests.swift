import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct ExactFieldDeterminismTests {
  struct Size: Sendable, CustomStringConvertible {
    let points, dimension, batch: Int
    var description: String { "\(points) points of dimension \(dimension), \(batch) queries" }
  }

  static let sizes = [
    Size(points: 1797, dimension: 64, batch: 1), Size(points: 1797, dimension: 64, batch: 64),
    Size(points: 5000, dimension: 3, batch: 7), Size(points: 300, dimension: 2, batch: 300),
    Size(points: 1000, dimension: 3072, batch: 2), Size(points: 100_000, dimension: 1, batch: 3),
    Size(points: 70_000, dimension: 5, batch: 1), Size(points: 700, dimension: 17, batch: 3),
    Size(points: 300, dimension: 33, batch: 7), Size(points: 1000, dimension: 15, batch: 2),
  ]

  @Test("Spec: F1 the exact field has the same bits on one thread and on two", arguments: sizes, [0.01, 0.3, 1, 10])
  func threads(_ size: Size, _ ratio: Double) {
    let schedule: any NoiseSchedule = .edm
    let t = schedule.time(atHalfLogSNR: -Double.log(ratio))
    let kernel = schedule.kernel(at: t)
    let shape = [size.batch, size.dimension]
    var generator = Generator(seed: 1)
    let points = 2 * Tensor.uniform([size.points, size.dimension], using: &generator) - 1
    let chosen = points.selecting(.randomIntegers([size.batch], in: 0..<size.points, using: &generator))
    let queries = kernel.alpha * chosen + kernel.sigma * .normal(shape, using: &generator)
    let directions = Tensor.normal(shape, using: &generator)
    let weights = Tensor.uniform([size.points], using: &generator)

    for weights in [nil, weights] {
      let found = [1, 2].map { count in
        withThreads(count) {
          EmpiricalDenoiser(data: points, weights: weights, on: schedule)
            .posterior(queries, at: t, along: directions)
        }
      }
      func check(_ what: Comment, _ part: (PosteriorMoments) -> Tensor?) {
        #expect(part(found[0])!.isIdentical(to: part(found[1])!), what)
      }
      check("log density") { $0.logDensity }
      check("mean") { $0.mean }
      check("score") { $0.score }
      check("covariance trace") { $0.covarianceTrace }
      check("covariance product") { $0.covarianceProduct }
    }
  }
}
