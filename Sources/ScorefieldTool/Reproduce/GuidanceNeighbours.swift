import Scorefield

/// Adjoint guidance beside its neighbours: other ways to lead the same model's samples, from the same noise in as many steps.
///
/// A weight means something else in each way, so they are to be compared by what they reach, how far from digits that is, and what it
/// costs. The judge leads nothing.
///
/// Source: Lai et al. 2025, arXiv:2510.21890, sections 8.2–8.4; Wang et al. 2025, arXiv:2505.23264, section 5.
struct GuidanceNeighbours: Encodable {
  /// A way to lead samples.
  private struct Way {
    let name: String
    let weights: [Figure3.Goal: [Double]]
    let run: (GuidedDigits, GuidedDigits.Target, _ weight: Double) -> GuidedDigits.Run

    init(
      _ name: String, label: [Double], style: [Double] = [],
      run: @escaping (GuidedDigits, GuidedDigits.Target, _ weight: Double) -> GuidedDigits.Run
    ) {
      (self.name, self.run) = (name, run)
      weights = [.label: label, .style: style]
    }

    /// A way that is a field: DDIM samples it as it samples the model.
    static func field(
      _ name: String, label: [Double], style: [Double] = [],
      _ field: @escaping (GuidedDigits.Target, GuidedDigits.Lead, _ weight: Double) -> any Denoiser
    ) -> Way {
      Way(name, label: label, style: style) { world, target, weight in
        world.run(target) { lead in
          let found = sample(field(target, lead, weight), from: lead.start, along: lead.grid, with: .ddim)
          return (found.samples, found.outcome)
        }
      }
    }

    /// A way that is a step of the sampler.
    static func step(
      _ name: String, label: [Double], style: [Double],
      _ step: @escaping (GuidedDigits.Lead, _ weight: Double) -> TrainingFreeGuidance
    ) -> Way {
      Way(name, label: label, style: style) { world, target, weight in
        world.run(target) { lead in
          let found = sample(lead.denoiser, from: lead.start, along: lead.grid, with: step(lead, weight))
          return (found.samples, found.outcome)
        }
      }
    }

    /// Adjoint guidance by one way to the products.
    static func adjoint(_ method: FisherProducts.Method) -> Way {
      Way("adjoint, \(method.name)", label: [0.05, 0.1, 0.2], style: [0.05, 0.1, 0.2]) { world, target, weight in
        world.run(target, guided: guidedSteps, by: method, strength: weight)
      }
    }
  }

  /// One way at one weight.
  struct Row: Encodable {
    let goal: Figure3.Goal
    let method: String
    /// In the way's own units; nil where nothing leads.
    let weight: Double?
    let samples: Int
    let loss, lossError: Double
    /// The judging classifier's loss.
    let judgedLoss, judgedLossError: Double
    /// How many of the samples the judging classifier takes for the class, or for that of the style's digit, in percent.
    let accuracy, accuracyError: Double
    /// To the nearest known digit.
    let distance, distanceError: Double
    /// Of each sample; gradients are those of the loss or of the noisy classifier.
    let networkEvaluations, passesBack, lossGradients: Int
    let millisecondsPerSample: Double
    let outcome: Outcome
  }

  /// What the classifier of noisy digits knows of held-out ones, in percent.
  struct Knowledge: Encodable {
    let noiseToSignal, accuracy: Double
  }

  /// Real digits the model never saw.
  struct HeldOut: Encodable {
    let count: Int
    let distance, distanceError: Double
  }

  /// How many steps adjoint guidance leads.
  static let guidedSteps = 20
  /// Of universal guidance: steps down the loss in the space of the data, and how often a step is taken.
  static let universalSteps = 2
  static let universalRepetitions = 2

  let guidedSteps = Self.guidedSteps
  let classifierSteps: Int
  let classifier: [Knowledge]
  let heldOut: HeldOut
  let rows: [Row]
  /// Samples led to a class at the largest weights, one row of pictures per way, in the order of `pictureNames`.
  let picture: Tensor
  let pictureNames: [String]

  private enum CodingKeys: String, CodingKey { case guidedSteps, classifierSteps, classifier, heldOut, rows }

  private static func classifierSteps(quick: Bool) -> Int { quick ? 400 : 2000 }
  private static let runEffort = 1000

  /// What it counts for in a progress bar.
  static func effort(quick: Bool) -> Int { classifierSteps(quick: quick) + runEffort }

  init(
    _ world: GuidedDigits, classes: [Int], quick: Bool, _ advanced: (_ done: Int, _ note: String) -> Void
  ) throws {
    classifierSteps = Self.classifierSteps(quick: quick)
    let noisy = try NoisyClassifier.trained(on: world.digits, steps: classifierSteps, seed: world.seed + 70) {
      world.counter.increment()
      advanced($0, "noisy classifier")
    }
    classifier = [0.1, 1, 3].map {
      Knowledge(noiseToSignal: $0, accuracy: noisy.accuracy(on: world.digits, at: $0, seed: world.seed + 71))
    }
    let distances = world.distances(world.digits.heldOutLevels)
    heldOut = HeldOut(
      count: distances.count, distance: Statistics.mean(distances), distanceError: Statistics.standardError(distances))

    let ways = Self.ways(noisy, over: world.digits.known(.float32))
    let total = Figure3.Goal.allCases.flatMap { goal in ways.flatMap { $0.weights[goal]! } }.count
    var (rows, pictures, names) = ([Row](), [Tensor](), [String]())
    for goal in Figure3.Goal.allCases {
      let target = world.target(goal, classes)
      func add(_ name: String, _ weight: Double?, _ run: GuidedDigits.Run) {
        let right = Statistics.mean(run.isRight.map { $0 ? 1 : 0 })
        let distances = world.distances(run.levels)
        rows.append(
          Row(
            goal: goal, method: name, weight: weight, samples: classes.count,
            loss: Statistics.mean(run.losses), lossError: Statistics.standardError(run.losses),
            judgedLoss: Statistics.mean(run.judgedLosses), judgedLossError: Statistics.standardError(run.judgedLosses),
            accuracy: 100 * right, accuracyError: 100 * Statistics.standardError(ofShare: right, of: classes.count),
            distance: Statistics.mean(distances), distanceError: Statistics.standardError(distances),
            networkEvaluations: run.evaluations, passesBack: run.passesBack, lossGradients: run.lossGradients,
            millisecondsPerSample: 1000 * run.seconds / Double(classes.count), outcome: run.outcome))
      }
      let free = world.run(target) { lead in
        let found = sample(lead.denoiser, from: lead.start, along: lead.grid, with: .ddim)
        return (found.samples, found.outcome)
      }
      add("unguided", nil, free)
      for way in ways {
        for weight in way.weights[goal]! {
          advanced(
            classifierSteps + Self.runEffort * rows.count / (total + 2), "\(way.name), \(goal.rawValue), \(weight)")
          let run = way.run(world, target, weight)
          add(way.name, weight, run)
          if goal == .label, weight == way.weights[goal]!.last {
            pictures.append(DigitSet.scale.scaled(run.levels[..<min(Figure3.pictureCount, classes.count)]))
            names.append(way.name)
          }
        }
      }
    }
    (self.rows, picture, pictureNames) = (rows, .concatenated(pictures), names)
  }

  private static func ways(_ noisy: NoisyClassifier, over known: Tensor) -> [Way] {
    let methods = FisherProducts.methods(over: known, on: .edm)
    var ways: [Way] = []
    ways.append(
      .field("classifier", label: [1, 3, 10]) { target, lead, weight in
        let logProbability = noisy.logProbability(of: target.classes)
        return ScoreGuidance(lead.denoiser, scale: weight) { x, t in
          lead.lossCounter.count(x)
          return logProbability(x, t)
        }
      })
    ways.append(
      .field("classifier-free", label: [1, 2, 4]) { _, lead, weight in
        // Alone, the conditional one needs no other.
        if weight == 1 { return lead.conditional }
        return ClassifierFreeGuidance(lead.conditional, over: lead.denoiser, scale: weight)
      })
    ways.append(
      .step("loss of the estimate", label: [0.3, 1, 3], style: [10, 30, 100]) { lead, weight in
        .noise(strength: weight, of: lead.loss)
      })
    ways.append(
      .step("data space", label: [0.01, 0.1, 1], style: [0.3, 1, 3]) { lead, weight in
        .data(strength: weight, of: lead.loss)
      })
    ways.append(
      .step("universal", label: [0.1, 0.3], style: [3, 10]) { lead, weight in
        TrainingFreeGuidance(
          noiseStrength: weight, dataStrength: 0.1 * weight, dataSteps: universalSteps,
          repetitions: universalRepetitions, of: lead.loss)
      })
    return ways + ["vjp", "secant:8"].map { name in .adjoint(methods.first { $0.name == name }!) }
  }
}

extension GuidanceNeighbours {
  static func title(_ goal: Figure3.Goal) -> String {
    goal == .label ? "Neighbours of adjoint guidance, to a class" : "Neighbours of adjoint guidance, to a style"
  }

  /// A line per way and weight.
  func cells(_ goal: Figure3.Goal) -> [[String]] {
    [
      [
        "method", "weight", "loss", "judged loss", "accuracy, %", "distance", "evaluations", "passes back",
        "loss gradients", "ms/sample",
      ]
    ]
      + rows.filter { $0.goal == goal }.map {
        [
          $0.method, $0.weight.map { significant($0, 2) } ?? "", fixed($0.loss, error: $0.lossError, 3),
          fixed($0.judgedLoss, error: $0.judgedLossError, 3), fixed($0.accuracy, error: $0.accuracyError, 1),
          fixed($0.distance, error: $0.distanceError, 3), "\($0.networkEvaluations)", "\($0.passesBack)",
          "\($0.lossGradients)", fixed($0.millisecondsPerSample, 1),
        ]
      }
  }

  /// What the numbers stand beside.
  var words: String {
    let knowledge = classifier.map { "\(fixed($0.accuracy, 1)) % at \(significant($0.noiseToSignal, 2))" }
    return "Classifier guidance follows a classifier of noisy digits, right about held-out ones in "
      + "\(knowledge.joined(separator: ", ")) (sigma/alpha). Held-out digits are "
      + "\(fixed(heldOut.distance, error: heldOut.distanceError, 3)) from the nearest known one. Evaluations, passes back "
      + "through the network and gradients of the loss or of the noisy classifier are those of each sample."
  }

  func describe(on page: inout HTMLPage) throws {
    page.heading("The neighbours")
    page.paragraph(
      "Other ways to lead the same model, from the same noise in the same steps. A weight means something else in each: the "
        + "scale of classifier and classifier-free guidance, the step down the loss of the estimate (through the network, in the "
        + "space of the data, or both and twice over), and the share of the noise's length by which adjoint guidance moves at "
        + "each of \(guidedSteps) steps.")
    for goal in Figure3.Goal.allCases {
      page.paragraph(Self.title(goal))
      page.table(cells(goal))
      let own = rows.filter { $0.goal == goal }
      var names: [String] = []
      for row in own where !names.contains(row.method) { names.append(row.method) }
      page.chart(
        LineChart(
          horizontal: "accuracy by the judge, %", vertical: "distance to the nearest known digit",
          lines: names.map { name in
            .init(name: name, points: own.filter { $0.method == name }.map { (x: $0.accuracy, y: $0.distance) })
          }), caption: "Each way over its weights.")
    }
    page.paragraph(words)
    try page.picture(
      Picture.grey(picture, columns: min(Figure3.pictureCount, rows[0].samples), magnified: 4),
      caption: "Led to a class at the largest weights; rows: \(pictureNames.joined(separator: "; ")).")
  }
}
