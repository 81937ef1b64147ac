import Scorefield

/// How the products of a flow's tangents are had, as `--method` of `transport` names it.
struct FlowProducts {
  let name: String

  static let names = ["exact", "jvp", "finite-difference"]

  init(_ text: String?, of model: LoadedModel) throws(Failure) {
    name = text ?? (model.field == nil ? "jvp" : "exact")
    guard Self.names.contains(name) else {
      throw .option(
        "--method", "'\(name)' is no way to F v along the flow",
        repair: "use one of \(Self.names.joined(separator: ", "))")
    }
    guard name != "exact" || model.field != nil else {
      throw .option("--method", "'exact' needs a model whose field is exact", repair: "use jvp")
    }
    guard name != "jvp" || !model.isStreamed else {
      throw .option("--method", "'jvp' needs derivatives, and the data are not in memory", repair: "use exact")
    }
  }

  func access(of model: LoadedModel, counter: EvaluationCounter) -> ErasedProducts {
    let denoiser = CountedDenoiser(model.denoiser, counter: counter)
    return switch name {
    case "exact": ErasedProducts(ExactFisher(model.field!))
    case "jvp": ErasedProducts(JVPFisher(denoiser))
    default: ErasedProducts(FiniteDifferenceFisher(denoiser))
    }
  }
}

/// Any way to products with the Fisher, chosen at run time.
struct ErasedProducts: FisherAccess {
  struct At: FisherMatvec {
    fileprivate let base: any FisherMatvec
    func matvec(_ v: Tensor) -> Tensor { base.matvec(v) }
    func matvecs(_ block: Tensor) -> Tensor { base.matvecs(block) }
  }

  private let at: @Sendable (Tensor, Double) -> At

  init<F: FisherAccess>(_ base: F) where F.Operator: FisherMatvec {
    at = { x, t in At(base: base.fisher(at: x, time: t)) }
  }

  func fisher(at x: Tensor, time t: Double) -> At { at(x, t) }
}
