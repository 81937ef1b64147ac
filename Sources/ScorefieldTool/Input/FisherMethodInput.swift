import Scorefield

/// How the Fisher is had, as `--method` and `--trace` name it.
struct FisherMethodInput {
  /// The method's name with its count, as it will be reported.
  let name: String
  private let kind: Kind

  private enum Kind {
    case auto, exact, vjp, jvp, finiteDifference, null, gaussian, traceMatching, residual
    case endpoint, centred, recommended
    case blended(Int)
    case hutchinson(Int)
    case hutchPlusPlus(Int)
    case retrieval(Int)
    case secant(Int)
    case hybrid(Int)
  }

  static let names = [
    "auto", "exact", "vjp", "jvp", "finite-difference", "secant:r", "hutchinson:n", "hutch++:n",
    "trace-matching", "residual", "endpoint", "centred", "gaussian", "null", "retrieval:k", "blended:k", "hybrid:k",
    "recommended",
  ]

  /// Whether it is the field's own.
  var isExact: Bool {
    if case .exact = kind { true } else { false }
  }

  /// Whether the model decides.
  var isAuto: Bool {
    if case .auto = kind { true } else { false }
  }

  /// Whether it is an estimate from random probes.
  var isRandom: Bool {
    switch kind {
    case .hutchinson, .hutchPlusPlus: true
    default: false
    }
  }

  /// Which second moment an endpoint stands for, of the methods that stand on one.
  var endpointForm: EndpointFisher.Form? {
    switch kind {
    case .endpoint: .printed
    case .centred: .centred
    default: nil
    }
  }

  /// How far differences reach backward, in units of σ, of the method that follows a gradient.
  var reach: Double? {
    if case .secant(let reach) = kind { Double(reach) } else { nil }
  }

  /// Whether the method needs data to take a covariance from.
  var needsData: Bool {
    switch kind {
    case .gaussian, .retrieval, .blended, .hybrid: true
    default: false
    }
  }

  init(_ text: String, option: String) throws(Failure) {
    let value = try OptionValue(text, of: option)
    switch value.name {
    case "hutchinson":
      let count = try value.count(standard: 1)
      (name, kind) = ("hutchinson:\(count)", .hutchinson(count))
      return
    case "hutch++":
      let count = try value.count(standard: 12)
      guard count >= 3 else {
        throw .option(option, "'hutch++:\(count)' has too few products for its three parts", repair: "give at least 3")
      }
      (name, kind) = ("hutch++:\(count)", .hutchPlusPlus(count))
      return
    case "secant":
      let reach = try value.count(standard: Self.standardReach)
      (name, kind) = ("secant:\(reach)", .secant(reach))
      return
    case "retrieval":
      let count = try value.count(standard: 64)
      (name, kind) = ("retrieval:\(count)", .retrieval(count))
      return
    case "blended":
      let count = try value.count(standard: 128)
      (name, kind) = ("blended:\(count)", .blended(count))
      return
    case "hybrid":
      let count = try value.count(standard: 64)
      (name, kind) = ("hybrid:\(count)", .hybrid(count))
      return
    case "auto": (name, kind) = ("auto", .auto)
    case "exact": (name, kind) = ("exact", .exact)
    case "trace-matching": (name, kind) = ("trace-matching", .traceMatching)
    case "residual": (name, kind) = ("residual", .residual)
    case "vjp": (name, kind) = ("vjp", .vjp)
    case "jvp": (name, kind) = ("jvp", .jvp)
    case "finite-difference": (name, kind) = ("finite-difference", .finiteDifference)
    case "endpoint": (name, kind) = ("endpoint", .endpoint)
    case "centred": (name, kind) = ("centred", .centred)
    case "gaussian": (name, kind) = ("gaussian", .gaussian)
    case "recommended": self = .recommended
    case "null": (name, kind) = ("null", .null)
    default:
      throw .option(
        option, "'\(value.name)' is no method for this model",
        repair: "use one of \(Self.names.joined(separator: ", "))")
    }
    try value.alone()
  }

  /// What serves best at a noise level with what is at hand.
  static let recommended = FisherMethodInput("recommended", .recommended)
  /// Backward differences as far as a gradient is followed.
  static let secant = FisherMethodInput("secant:\(standardReach)", .secant(standardReach))
  /// In units of σ.
  private static let standardReach = 8

  private init(_ name: String, _ kind: Kind) { (self.name, self.kind) = (name, kind) }

  /// The method as it is for a model: `auto` has picked.
  ///
  /// - Parameters:
  ///   - model: What is asked.
  ///   - option: The option that named the method.
  /// - Returns: A method the model can answer.
  /// - Throws: Where the model cannot answer it.
  func resolved(for model: LoadedModel, option: String) throws(Failure) -> FisherMethodInput {
    func missing(_ what: String) -> Failure {
      .option(option, "'\(name)' needs \(what)", repair: "leave \(option) out, or use vjp or hutchinson:n")
    }
    switch kind {
    case .vjp where model.isStreamed, .jvp where model.isStreamed, .hutchinson where model.isStreamed,
      .hutchPlusPlus where model.isStreamed:
      throw .noDerivatives(option, name)
    case .auto:
      if model.field != nil { return FisherMethodInput("exact", .exact) }
      if model.traced != nil { return FisherMethodInput("trace-matching", .traceMatching) }
      // All basis vectors while they are few.
      return model.dimension <= 256
        ? FisherMethodInput("vjp", .vjp) : FisherMethodInput("hutchinson:16", .hutchinson(16))
    case .exact where model.field == nil: throw missing("a model whose field is exact")
    case .traceMatching where model.traced == nil, .hybrid where model.traced == nil:
      throw missing("a model that was trained with --objective trace")
    case .residual where model.form != .predictionError:
      throw missing("a model that was trained with --trace-form prediction-error")
    default: return self
    }
  }

  /// What picks by the noise level, of the method that does; nil of others.
  ///
  /// - Parameters:
  ///   - model: What is asked.
  ///   - denoiser: Its denoiser, as it is to be asked.
  ///   - data: Points at hand.
  /// - Returns: What picks.
  func recommendation(for model: LoadedModel, asking denoiser: any Denoiser, data: Tensor?) -> RecommendedFisher? {
    guard case .recommended = kind else { return nil }
    let schedule = denoiser.schedule
    // The data set's own field is that of its points, everything else a density.
    if let points = model.points {
      return RecommendedFisher(data: points, weights: model.data?.weights, of: .points, on: schedule)
    }
    return data.map { RecommendedFisher(data: $0, on: schedule, beside: denoiser) } ?? RecommendedFisher(denoiser)
  }

  /// The access.
  ///
  /// - Parameters:
  ///   - model: What is asked.
  ///   - counter: Counts the evaluations.
  ///   - data: Where a covariance or near points come from, for the methods that need some; the model's own, with their weights, where left
  ///     out.
  ///   - seed: The seed of random probes.
  /// - Returns: Trace and product.
  func access(of model: LoadedModel, counter: EvaluationCounter, data: Tensor?, seed: UInt64) -> ErasedFisher {
    let weights = data == nil ? model.data?.weights : nil
    let data = data ?? model.points
    let schedule = model.denoiser.schedule
    let denoiser = CountedDenoiser(model.denoiser, counter: counter)
    func learned() -> CountedTrace { CountedTrace(base: model.traced!, counter: counter) }
    switch kind {
    case .auto, .exact: return ErasedFisher(ExactFisher(model.field!))
    case .vjp: return ErasedFisher(FullTrace(VJPFisher(denoiser)))
    case .jvp: return ErasedFisher(FullTrace(JVPFisher(denoiser)))
    case .finiteDifference: return ErasedFisher(FullTrace(FiniteDifferenceFisher(denoiser)))
    case .secant(let reach):
      return ErasedFisher(FullTrace(FiniteDifferenceFisher.secant(denoiser, over: Double(reach))))
    case .recommended:
      return ErasedFisher(FullTrace(recommendation(for: model, asking: denoiser, data: data)!))
    case .null: return ErasedFisher(NullFisher(on: schedule))
    case .gaussian: return ErasedFisher(GaussianFisher(data: data!.to(model.type), weights: weights, on: schedule))
    case .endpoint: return ErasedFisher(PredictedEndpointFisher(denoiser))
    case .centred: return ErasedFisher(PredictedEndpointFisher(denoiser, form: .centred))
    case .blended(let count):
      return ErasedFisher(BlendedFisher(data: data!, weights: weights, nearest: count, on: schedule))
    case .traceMatching, .residual: return ErasedFisher(trace: learned(), products: VJPFisher(denoiser))
    case .hutchinson(let count): return ErasedFisher(Hutchinson(VJPFisher(denoiser), probes: count, seed: seed))
    case .hutchPlusPlus(let count):
      return ErasedFisher(HutchPlusPlus(VJPFisher(denoiser), probes: count, seed: seed, on: schedule))
    case .retrieval(let count):
      return ErasedFisher(nearest: RetrievalFisher(data!, weights: weights, nearest: count, on: schedule))
    case .hybrid(let count):
      return ErasedFisher(
        trace: learned(), or: RetrievalFisher(data!, weights: weights, nearest: count, on: schedule),
        products: VJPFisher(denoiser))
    }
  }

  /// The model with its trace in one evaluation, where that is possible; nil elsewhere.
  func joint(_ model: LoadedModel) -> (any TracedDenoiser)? {
    switch kind {
    case .auto, .exact: model.field.map { ExactFisher($0) }
    case .traceMatching, .residual: model.traced
    default: nil
    }
  }
}
