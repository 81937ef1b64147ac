import ScorefieldArrays
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

  /// Why no model can be made of it; nil where one can.
  public var problem: String? {
    guard formatVersion == 1 else { return "is of format \(formatVersion), and this version reads format 1" }
    do throws(ScheduleDescription.Problem) { _ = try schedule.schedule() } catch {
      return "its schedule: \(error.problem)"
    }
    guard sigmaData > 0, sigmaData.isFinite else { return "its sigmaData is \(sigmaData), and must be larger than 0" }
    let size = sampleShape.reduce((count: 1, overflow: false)) { size, length in
      let product = size.count.multipliedReportingOverflow(by: length)
      return (product.partialValue, size.overflow || product.overflow)
    }
    guard sampleShape.allSatisfy({ $0 > 0 }), !size.overflow else { return "its sampleShape \(sampleShape) is none" }
    if let problem = network.problem(for: sampleShape) { return "its network: \(problem)" }
    guard levels.map({ (2...1 << 32).contains($0) }) ?? true else { return "its levels are \(levels ?? 0)" }
    guard classes.map({ $0 == network.conditionWidth }) ?? true else {
      return "it has \(classes ?? 0) classes, and its network a condition of length \(network.conditionWidth)"
    }
    return nil
  }
}

extension CheckpointFolder {
  /// All of the folder's model but its parameters, of which a model can be made.
  public func readModelConfiguration() throws(ArrayFileError) -> ModelConfiguration {
    let configuration = try readConfiguration(as: ModelConfiguration.self)
    if let problem = configuration.problem {
      throw ArrayFileError(
        configurationPath, .badData, problem, repair: "restore the file that training wrote, or update the program")
    }
    return configuration
  }
}
