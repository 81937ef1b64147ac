import ScorefieldFisher

/// What a scalar network stands for, by name.
public enum NamedTraceForm: String, Codable, Sendable, CaseIterable {
  case secondMoment = "second-moment"
  case noiseMoment = "noise-moment"
  case predictionError = "prediction-error"
  case posteriorVariance = "posterior-variance"

  /// The form; the data's standard deviation matters to `posterior-variance` alone.
  public func form(sigmaData: Double) -> any TraceForm {
    switch self {
    case .secondMoment: SecondMomentForm()
    case .noiseMoment: NoiseMomentForm()
    case .predictionError: PredictionErrorForm()
    case .posteriorVariance: PosteriorVarianceForm(sigmaData: sigmaData)
    }
  }
}
