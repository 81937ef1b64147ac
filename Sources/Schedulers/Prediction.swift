import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths

extension Head {
  /// The negative of what this head predicts.
  var negated: Head {
    Head { kernel in
      let target = target(kernel)
      return Target(data: -target.data, noise: -target.noise, scale: target.scale)
    }
  }
}

/// What a model was trained to predict, by the name a file has for it.
enum Prediction: String, Sendable {
  case epsilon, sample
  case v = "v_prediction"
  case flow = "flow_prediction"
  case originalSample = "original_sample"

  init(
    _ file: inout SchedulerFile, among choices: [Prediction] = [.epsilon, .v, .sample]
  ) throws(ArrayFileError) {
    self = try file.choice("prediction_type", .epsilon, among: choices)
  }

  var head: Head {
    switch self {
    case .epsilon: .noise
    case .sample, .originalSample: .data
    case .flow: .velocity
    // The v of the variance-preserving path through the same ratio, also where the state is x/α.
    case .v:
      Head { kernel in
        let total = Double.hypot(kernel.alpha, kernel.sigma)
        return Head.Target(data: -kernel.sigma / total, noise: kernel.alpha / total)
      }
    }
  }
}
