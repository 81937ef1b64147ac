import Scorefield

/// How the Fisher is had, as `--method` and `--trace` name it.
struct FisherMethodInput {
  /// The method's name with its count, as it will be reported.
  let name: String
  private let kind: Kind

  private enum Kind {
    case exact, vjp, jvp, finiteDifference, null, gaussian
    case hutchinson(Int)
    case hutchPlusPlus(Int)
  }

  static let names = [
    "auto", "exact", "vjp", "jvp", "finite-difference", "hutchinson:n", "hutch++:n", "gaussian", "null",
  ]

  /// Whether it is the field's own.
  var isExact: Bool {
    if case .exact = kind { true } else { false }
  }

  /// Whether it is an estimate from random probes.
  var isRandom: Bool {
    switch kind {
    case .hutchinson, .hutchPlusPlus: true
    default: false
    }
  }

  /// Whether the method needs data to take a covariance from.
  var needsData: Bool {
    if case .gaussian = kind { true } else { false }
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
    case "auto", "exact": (name, kind) = ("exact", .exact)
    case "vjp": (name, kind) = ("vjp", .vjp)
    case "jvp": (name, kind) = ("jvp", .jvp)
    case "finite-difference": (name, kind) = ("finite-difference", .finiteDifference)
    case "gaussian": (name, kind) = ("gaussian", .gaussian)
    case "null": (name, kind) = ("null", .null)
    default:
      throw .option(
        option, "'\(value.name)' is no method for this model",
        repair: "use one of \(Self.names.joined(separator: ", "))")
    }
    try value.alone()
  }

  /// The access.
  ///
  /// - Parameters:
  ///   - field: The model's exact field.
  ///   - denoiser: The same model as a denoiser that counts its evaluations.
  ///   - data: Where a covariance comes from, for the method that needs one.
  ///   - seed: The seed of random probes.
  /// - Returns: Trace and product.
  func access(
    field: any ExactField, denoiser: any Denoiser, data: Tensor?, seed: UInt64
  ) -> ErasedFisher {
    switch kind {
    case .exact: ErasedFisher(ExactFisher(field))
    case .vjp: ErasedFisher(FullTrace(VJPFisher(denoiser)))
    case .jvp: ErasedFisher(FullTrace(JVPFisher(denoiser)))
    case .finiteDifference: ErasedFisher(FullTrace(FiniteDifferenceFisher(denoiser)))
    case .null: ErasedFisher(NullFisher(on: field.schedule))
    case .gaussian: ErasedFisher(GaussianFisher(data: data!, on: field.schedule))
    case .hutchinson(let count): ErasedFisher(Hutchinson(VJPFisher(denoiser), probes: count, seed: seed))
    case .hutchPlusPlus(let count):
      ErasedFisher(HutchPlusPlus(VJPFisher(denoiser), probes: count, seed: seed, on: field.schedule))
    }
  }
}
