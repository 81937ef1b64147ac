import Scorefield

extension PathEnd {
  /// An end of which nothing is asked but where it is.
  init(withoutLoss endpoint: Tensor) {
    let loss = Tensor.full([endpoint.batch], .infinity, type: endpoint.elementType)
    self.init(endpoint: endpoint, loss: loss, gradient: .ones(like: endpoint))
  }
}

/// Ways to the products `F v`, and how far they are from the truth.
struct FisherProducts {
  /// A way to the products.
  struct Method {
    let name: String
    let isGradientFree, needsData: Bool
    /// Whether samples are guided by it, or its error is all that is asked.
    var guides = true
    /// For a denoiser and the ends of a batch of points.
    let products: @Sendable (any Denoiser, PathEnd) -> ErasedProducts
  }

  /// All of them over a data set.
  static func methods(over data: Tensor, on schedule: any NoiseSchedule) -> [Method] {
    let null = ErasedProducts(NullFisher(on: schedule))
    let gaussian = ErasedProducts(GaussianFisher(data: data, on: schedule))
    func retrieval(_ count: Int) -> ErasedProducts {
      ErasedProducts(RetrievalFisher(data, nearest: count, on: schedule))
    }
    func fromData(_ name: String, guides: Bool = true, _ access: ErasedProducts) -> Method {
      Method(name: name, isGradientFree: true, needsData: true, guides: guides) { _, _ in access }
    }
    return [
      Method(name: "vjp", isGradientFree: false, needsData: false) { denoiser, _ in .init(VJPFisher(denoiser)) },
      Method(name: "jvp", isGradientFree: false, needsData: false) { denoiser, _ in .init(JVPFisher(denoiser)) },
      Method(name: "finite-difference", isGradientFree: true, needsData: false) { denoiser, _ in
        .init(FiniteDifferenceFisher(denoiser))
      },
      Method(name: "endpoint", isGradientFree: true, needsData: false) {
        .init(EndpointFisher($0, endpoint: $1.endpoint))
      },
      Method(name: "centred", isGradientFree: true, needsData: false) {
        .init(EndpointFisher($0, endpoint: $1.endpoint, form: .centred))
      },
      Method(name: "null", isGradientFree: true, needsData: false) { _, _ in null },
      fromData("gaussian", gaussian),
      Method(name: "secant:8", isGradientFree: true, needsData: false) {
        .init(FiniteDifferenceFisher.secant($0, upTo: $1.distance))
      },
      fromData("retrieval:8", guides: false, retrieval(8)),
      fromData("retrieval:128", retrieval(128)),
      fromData("retrieval:512", guides: false, retrieval(512)),
      fromData("blended:128", ErasedProducts(BlendedFisher(data: data, nearest: 128, on: schedule))),
    ]
  }

  /// The error of one way at one noise level.
  struct Row: Encodable {
    let world: World
    let method: String
    /// `σ/α`.
    let noiseToSignal: Double
    /// The mean of `|F̂v − Fv|/|Fv|` over the points.
    let error: Double
    /// The mean of `|F̂ − F|/|F|` in the Hilbert–Schmidt norm, from a few probes a point; whole where there is a bound.
    let hilbertSchmidtError: Double
    /// What that is at most by proposition 8, from the data's largest length and from all of the posterior's weights.
    ///
    /// Of the printed endpoint form with data as endpoints; nil elsewhere.
    let bound, weightedBound: Double?
    /// What answered, where the access picks; nil elsewhere.
    let choice: String?
  }

  /// Whose Fisher is meant.
  enum World: String, CaseIterable, Encodable {
    /// The known digits themselves, with their exact field.
    case digits
    /// A mixture of ten normal distributions with the digits' moments, of which the methods have as many draws as there are digits.
    case mixture
    /// The network, whose own truth is its VJP.
    case network
  }

  static let ratios = [0.1, 0.25, 0.35, 0.5, 0.7, 1, 1.5, 3, 10]

  /// Products with signs, per point, that tell the Hilbert–Schmidt norms.
  static let probes = 4

  /// The errors, for random directions at points of the marginal.
  ///
  /// Endpoints are those of the flow in ten steps; under the names with `, draw` they are draws of the posterior: the very data the
  /// points were made from.
  static func rows(_ digits: DigitSet, network: NetworkDenoiser, quick: Bool, seed: UInt64) throws -> [Row] {
    let count = quick ? 40 : 200
    let known = digits.known(.float64).flattened
    let mixture = try mixture(of: known, digits.knownClasses!)
    var generator = Generator(seed: seed + 50)
    func pick(_ points: Tensor) -> Tensor {
      points.selecting(Tensor.randomIntegers([count], in: 0..<points.batch, using: &generator))
    }
    let draws = mixture.sample(known.batch, using: &generator)
    let worlds: [(World, any Denoiser, truth: (any ExactField)?, data: Tensor, origins: Tensor)] = [
      (.digits, EmpiricalDenoiser(data: known, on: .edm), EmpiricalDenoiser(data: known, on: .edm), known, pick(known)),
      (
        .mixture, GaussianMixtureDenoiser(mixture, on: .edm), GaussianMixtureDenoiser(mixture, on: .edm), draws,
        mixture.sample(count, using: &generator)
      ),
      (.network, network, nil, digits.known(.float32), pick(digits.heldOut(.float32))),
    ]
    let radius = known.norm(-1).max().item
    var rows: [Row] = []
    for (world, denoiser, truth, data, origins) in worlds {
      let methods = methods(over: data, on: .edm)
      let recommended = RecommendedFisher(
        data: data, of: world == .digits ? .points : .density, on: .edm, beside: denoiser)
      for ratio in ratios {
        let noise = Tensor.normal(origins.shape, type: origins.elementType, using: &generator)
        let v = Tensor.normal(origins.shape, type: origins.elementType, using: &generator)
        let x = origins + ratio * noise
        let signs = 2 * (Tensor.normal([probes] + x.shape, using: &generator) .> 0).to(x.elementType) - 1
        let reference = truth.map { ErasedProducts(ExactFisher($0)) } ?? ErasedProducts(VJPFisher(denoiser))
        let exact = reference.fisher(at: x, time: ratio)
        let (product, products) = (exact.matvec(v), exact.matvecs(signs))
        /// `√Σ|F z|²` over the probes, of each point.
        func size(of products: Tensor) -> Tensor { products.vectors.squared().sum(-1).sum(0).sqrt() }
        let (length, sizes) = (product.flattened.norm(-1), size(of: products))
        let end = PredictedEndpointFisher(denoiser).endpoint(of: x, at: ratio)
        func add(
          _ name: String, _ access: ErasedProducts, choice: String? = nil,
          bounds: (loose: Double, weighted: Tensor)? = nil
        ) {
          let found = access.fisher(at: x, time: ratio)
          let error = (found.matvec(v) - product).flattened.norm(-1)
          // A few probes may say more than there is, which a bound on it need not keep.
          let whole = bounds.map { _ in exact.dense(like: x) }
          let norms = whole?.norm(-2, -1)
          let all =
            whole.map { (found.dense(like: x) - $0).norm(-2, -1) / norms! }
            ?? size(of: found.matvecs(signs) - products) / sizes
          rows.append(
            Row(
              world: world, method: name, noiseToSignal: ratio,
              error: (error / length).mean().item, hilbertSchmidtError: all.mean().item,
              bound: bounds.map { ($0.loose / norms!).mean().item },
              weightedBound: bounds.map { ($0.weighted / norms!).mean().item }, choice: choice))
        }
        for method in methods {
          add(method.name, method.products(denoiser, PathEnd(withoutLoss: end)))
          if truth != nil, method.name == "endpoint" || method.name == "centred" {
            // Of the mixture, whose draws may lie anywhere, there is no radius.
            let field = method.name == "endpoint" ? denoiser as? EmpiricalDenoiser : nil
            let bounds = field.map { field in
              (
                loose: EndpointFisher.errorBound(field.schedule.kernel(at: ratio), radius: radius),
                weighted: EndpointFisher.errorBound(at: x, time: ratio, under: field, endpoint: origins)
              )
            }
            add("\(method.name), draw", method.products(denoiser, PathEnd(withoutLoss: origins)), bounds: bounds)
          }
        }
        add("recommended", ErasedProducts(recommended), choice: "\(recommended.choice(at: ratio))")
      }
    }
    return rows
  }

  /// Ten normal distributions with the moments of the digits of each class.
  private static func mixture(of known: Tensor, _ classes: [Int]) throws -> GaussianMixture {
    let parts = (0..<10).map { label in
      known.selecting(Tensor(classes.indices.filter { classes[$0] == label }))
    }
    let means = Tensor.stacked(parts.map { $0.mean(0) })
    // A pixel of no digit has no variance.
    let ridge = 0.01 * Tensor.identity(known.shape[1])
    let covariances = parts.map { part in
      let centred = part - part.mean(0)
      return centred.transposed.matmul(centred) / Double(part.batch) + ridge
    }
    return try GaussianMixture(means: means, covariances: .stacked(covariances))
  }
}
