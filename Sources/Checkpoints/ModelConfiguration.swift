import ScorefieldFields
import ScorefieldFisher
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// All of a trained model but its parameters: what `config.json` holds.
public struct ModelConfiguration: Codable, Sendable, Equatable {
  /// Grows when a file of an older format can no longer be read.
  public var formatVersion = 1
  public var schedule: ScheduleDescription
  public var network: Architecture
  /// What the network predicts.
  public var prediction: NamedHead
  /// The standard deviation of the data that it expects.
  public var sigmaData: Double
  /// What the scalar head beside it stands for; nil where there is none.
  public var trace: NamedTraceForm?
  /// The shape of one sample.
  public var sampleShape: [Int]
  /// The grey levels of the data; nil for real numbers.
  public var levels: Int?
  /// The number of classes; nil where the model knows of none.
  public var classes: Int?

  public init(
    schedule: ScheduleDescription, network: Architecture, prediction: NamedHead = .edm, sigmaData: Double,
    trace: NamedTraceForm? = nil, sampleShape: [Int], levels: Int? = nil, classes: Int? = nil
  ) {
    (self.schedule, self.network, self.prediction) = (schedule, network, prediction)
    (self.sigmaData, self.trace, self.sampleShape) = (sigmaData, trace, sampleShape)
    (self.levels, self.classes) = (levels, classes)
  }

  /// How the network is asked and what its answer means.
  public var preconditioning: Preconditioning {
    Preconditioning(prediction.head(sigmaData: sigmaData), sigmaData: sigmaData)
  }
}
