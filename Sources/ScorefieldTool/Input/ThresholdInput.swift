import Scorefield

/// How `--threshold` keeps estimates in the range of the data.
struct ThresholdInput {
  private enum Kind {
    case fixed
    case dynamic(quantile: Double)
  }
  private let kind: Kind
  private let magnitude: Double

  init(_ text: String) throws(Failure) {
    let value = try OptionValue(text, of: "--threshold")
    switch value.name {
    case "fixed":
      kind = .fixed
      magnitude = try value.numbers([("magnitude", 1)])[0]
    case "dynamic":
      let values = try value.numbers([("quantile", 0.995), ("magnitude", 1)])
      guard (0...1).contains(values[0]) else {
        throw .option("--threshold", "quantile \(values[0]) is outside 0…1", repair: "write dynamic:quantile=0.995")
      }
      kind = .dynamic(quantile: values[0])
      magnitude = values[1]
    default:
      throw .option("--threshold", "'\(value.name)' is no threshold", repair: "use fixed or dynamic:quantile=0.995")
    }
    guard magnitude > 0 else {
      throw .option(
        "--threshold", "magnitude \(magnitude) is not positive", repair: "write \(value.name):magnitude=1")
    }
  }

  /// A denoiser whose estimates are kept.
  func keeping(_ base: some Denoiser) -> any Denoiser {
    switch kind {
    case .fixed: ThresholdedDenoiser(base, .fixed, magnitude: magnitude)
    case .dynamic(let quantile): ThresholdedDenoiser(base, .dynamic(quantile: quantile), magnitude: magnitude)
    }
  }
}
