import Foundation
import Scorefield
import Testing

@Suite struct FigureCommandTests {
  private let data =
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Data").standardized.path

  private func run(_ tool: Tool, _ figure: String, _ more: [String]) throws -> Tool.Answer {
    try tool.run(["reproduce", figure, "--quick", "--data", data, "--json", "--threads", "1"] + more)
  }

  struct Figure1: Decodable {
    struct Row: Decodable {
      let scale, accuracy, accuracy_error, bits_per_dim, bits_per_dim_error, guided_bits_per_dim: Double
    }
    struct HeldOut: Decodable { let accuracy, bits_per_dim: Double }
    let table: String
    let rows: [Row]
    let held_out: HeldOut
  }

  @Test("figure 1 has a row per scale of guidance; without guidance both likelihoods are one")
  func figure1() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure1", ["--steps", "10", "--samples", "2", "--out", "."])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let found: Figure1 = try answer.json()
      #expect(found.table == "figure1" && found.rows.map(\.scale) == [1, 2, 4, 8])
      #expect(found.rows[0].bits_per_dim == found.rows[0].guided_bits_per_dim)
      #expect(found.rows[3].bits_per_dim != found.rows[3].guided_bits_per_dim)
      for row in found.rows { #expect((0...100).contains(row.accuracy) && row.accuracy_error > 0) }
      #expect(found.held_out.accuracy > 90, "the classifier does not hang on the denoiser")
      #expect(try tool.names() == ["figure1.csv", "figure1.html", "figure1.json"])
      let csv = try String(contentsOf: tool.folder.appending(path: "figure1.csv"), encoding: .utf8)
      #expect(csv.split(separator: "\n").count == 5)
    }
  }

  struct Figure2: Decodable {
    struct Row: Decodable {
      let label: Int?
      let quarter: Int
      let bits_per_dim: Double
    }
    struct Sample: Decodable {
      let label: Int
      let bits_per_dim: Double
    }
    struct Correlation: Decodable {
      let with: String
      let spearman, standard_error, p: Double
    }
    let table: String
    let rows: [Row]
    let samples: [Sample]
    let correlations: [Correlation]
  }

  @Test("figure 2 orders the samples of each class, the likeliest first, and says what goes with it")
  func figure2() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure2", ["--steps", "10", "--samples", "8", "--out", "."])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let found: Figure2 = try answer.json()
      #expect(found.table == "figure2" && found.samples.count == 24)
      for label in [3, 5, 8] {
        let own = found.samples.filter { $0.label == label }.map(\.bits_per_dim)
        #expect(own.count == 8 && own == own.sorted())
      }
      let quarters = found.rows.filter { $0.label == nil }.map(\.bits_per_dim)
      #expect(quarters.count == 4 && quarters == quarters.sorted())
      for correlation in found.correlations {
        #expect(abs(correlation.spearman) <= 1 && (0...1).contains(correlation.p))
      }
      #expect(try tool.names() == ["figure2.csv", "figure2.html", "figure2.json"])
    }
  }

  struct Figure3: Decodable {
    struct Row: Decodable {
      let goal, method: String
      let guided_steps, samples, network_evaluations: Int
      let loss, loss_error, excess, excess_error, judged_loss, judged_loss_error, accuracy, accuracy_error: Double
      let distance, distance_error: Double
      let outcome: String
    }
    struct Cost: Decodable {
      let method: String
      let is_gradient_free: Bool
      let milliseconds, share_of_vjp, guided_step_milliseconds: Double
      let network_evaluations: Int
      let memory_bytes: Int?
      let share_of_vjp_memory: Double?
    }
    struct Verdict: Decodable {
      let goal, method: String
      let reached_at: [Int]
      let reaches_vjp, reaches_vjp_within_error, is_within_half_the_time: Bool
      let is_within_memory: Bool?
    }
    struct Recommendation: Decodable {
      let method: String
      let share_of_vjp, largest_excess, time_limit, memory_limit: Double
      let share_of_vjp_memory: Double?
      let is_met, is_met_within_error: Bool
      let verdicts: [Verdict]
    }
    struct Product: Decodable {
      let world, method: String
      let noise_to_signal, error, hilbert_schmidt_error: Double
      let bound, weighted_bound: Double?
      let choice: String?
    }
    let table: String
    let rows: [Row]
    let costs: [Cost]
    let verdicts: [Verdict]
    let recommendation: Recommendation
    let products: [Product]

    func error(_ world: String, _ method: String, _ ratio: Double) -> Double? {
      products.first { $0.world == world && $0.method == method && $0.noise_to_signal == ratio }?.error
    }
  }

  @Test("Spec: F5 figure 3 has a row per goal, way and number of guided steps, and what a product costs and errs")
  func figure3() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure3", ["--steps", "10", "--samples", "1", "--guided", "0,3", "--out", "."])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let found: Figure3 = try answer.json()
      let methods = [
        "vjp", "jvp", "finite-difference", "endpoint", "centred", "null", "gaussian", "secant:8",
        "retrieval:128", "blended:128",
      ]
      #expect(found.table == "figure3" && found.costs.map(\.method) == methods && found.rows.count == 2 * 2 * 10)
      for goal in ["class", "style"] {
        let own = found.rows.filter { $0.goal == goal }
        // The same noise for all: without guidance there is one answer.
        #expect(Set(own.filter { $0.guided_steps == 0 }.map(\.loss)).count == 1)
        for method in methods {
          let (free, led) = (own.filter { $0.method == method }[0], own.filter { $0.method == method }[1])
          #expect(led.guided_steps == 3 && led.loss != free.loss && led.samples == 10 && led.outcome == "converged")
          // Four steps to the end, which are remembered for the way back, at each of three guided steps; then the sampler's 50 and the last.
          let products = 4 * found.costs.first { $0.method == method }!.network_evaluations
          let asked = 51 + 3 * (4 + products)
          #expect(free.network_evaluations == 51 && led.network_evaluations == asked, "\(method)")
        }
        let vjp = own.first { $0.method == "vjp" && $0.guided_steps == 3 }!
        #expect(vjp.excess == 0 && vjp.excess_error == 0)
      }
      #expect(found.costs.map(\.network_evaluations) == [1, 1, 1, 0, 0, 0, 0, 1, 0, 0])
      #expect(found.costs.map(\.is_gradient_free) == [false, false] + [Bool](repeating: true, count: 8))
      #expect(found.costs[0].share_of_vjp == 1 && found.costs.allSatisfy { $0.milliseconds > 0 })
      for verdict in found.verdicts {
        let row = found.rows.first { $0.goal == verdict.goal && $0.method == verdict.method && $0.guided_steps == 3 }!
        #expect(verdict.reached_at == (row.excess <= 0 ? [3] : []) && verdict.reaches_vjp == (row.excess <= 0))
        #expect(verdict.reaches_vjp_within_error == (row.excess <= 2 * row.excess_error))
        let cost = found.costs.first { $0.method == verdict.method }!
        #expect(verdict.is_within_half_the_time == (cost.share_of_vjp <= 0.5))
        #expect(verdict.is_within_memory == cost.share_of_vjp_memory.map { $0 <= 0.6 })
        #expect(
          cost.share_of_vjp_memory
            == cost.memory_bytes.map { Double($0) / Double(found.costs[0].memory_bytes!) })
      }
      #expect(found.verdicts.count == 18 && found.recommendation.method == "secant:8")
      // How long it takes beside others is no matter of a test.
      #expect(found.recommendation.share_of_vjp > 0 && found.recommendation.verdicts.count == 2)
      let recommended = found.recommendation
      #expect(recommended.time_limit == 0.5 && recommended.memory_limit == 0.6)
      #expect(recommended.share_of_vjp_memory == found.costs.first { $0.method == "secant:8" }!.share_of_vjp_memory)
      #expect(recommended.share_of_vjp_memory.map { $0 > 0 } ?? true, "\(recommended)")
      let isCheap = recommended.verdicts.allSatisfy { $0.is_within_half_the_time && $0.is_within_memory == true }
      #expect(recommended.is_met == (isCheap && recommended.verdicts.allSatisfy(\.reaches_vjp)))
      #expect(
        recommended.is_met_within_error == (isCheap && recommended.verdicts.allSatisfy(\.reaches_vjp_within_error)))
      #expect(try tool.names() == ["figure3.csv", "figure3.html", "figure3.json"])
      let csv = try String(contentsOf: tool.folder.appending(path: "figure3.csv"), encoding: .utf8)
      #expect(csv.split(separator: "\n").count == 41)
    }
  }

  @Test("Spec: F5 figure 3 says how exact the products are: on digits, on a mixture, and against the network's own")
  func products() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure3", ["--steps", "2", "--samples", "1", "--guided", "0"])
      let found: Figure3 = try answer.json()
      for world in ["digits", "mixture"] {
        for method in ["vjp", "jvp", "finite-difference"] {
          #expect(try #require(found.error(world, method, 1)) < 1e-5, "\(world) \(method)")
        }
        // Of whole matrices as of products with random directions.
        for row in found.products where row.world == world && row.method == "null" && row.noise_to_signal >= 0.5 {
          #expect(abs(row.hilbert_schmidt_error / row.error - 1) < 0.35, "\(world) \(row.noise_to_signal)")
        }
        for ratio in [0.5, 1, 3] {
          let null = try #require(found.error(world, "null", ratio))
          // As printed it is worse than the baseline, wherever its endpoint comes from.
          #expect(try #require(found.error(world, "endpoint", ratio)) > 1.5 * null)
          #expect(try #require(found.error(world, "endpoint, draw", ratio)) > 1.5 * null)
          #expect(try #require(found.error(world, "recommended", ratio)) < null)
        }
      }
      // Proposition 8: digits as endpoints are within its bound, at every noise level.
      let bounded = found.products.filter { $0.bound != nil }
      #expect(bounded.count == 9 && bounded.allSatisfy { $0.world == "digits" && $0.method == "endpoint, draw" })
      for row in bounded {
        let (tight, loose) = (try #require(row.weighted_bound), row.bound!)
        // Far below the spacing of the data nothing is left but rounding.
        #expect(row.hilbert_schmidt_error <= tight + 1e-12 && tight <= loose, "\(row)")
      }
      #expect(found.products.filter { $0.weighted_bound != nil }.count == 9)
      // The exact Fisher of the data is over all of them.
      #expect(try #require(found.error("digits", "retrieval:512", 0.5)) < 1e-3)
      #expect(found.error("network", "vjp", 1) == 0)
      let choices = [0.25, 0.5, 1, 1.5, 10].map { ratio in
        found.products.first { ($0.world, $0.method, $0.noise_to_signal) == ("digits", "recommended", ratio) }?.choice
      }
      #expect(choices == ["null", "retrieval:128", "retrieval:128", "retrieval:512", "gaussian"])
    }
  }

  struct Neighbours: Decodable {
    struct Row: Decodable {
      let goal, method, outcome: String
      let weight: Double?
      let samples, network_evaluations, passes_back, loss_gradients: Int
      let loss, loss_error, judged_loss, judged_loss_error, accuracy, accuracy_error, distance, distance_error: Double
      let milliseconds_per_sample: Double
    }
    struct Knowledge: Decodable { let noise_to_signal, accuracy: Double }
    struct HeldOut: Decodable {
      let count: Int
      let distance, distance_error: Double
    }
    struct Figure: Decodable { let neighbours: Neighbours }
    let guided_steps, classifier_steps: Int
    let classifier: [Knowledge]
    let held_out: HeldOut
    let rows: [Row]

    /// All that is measured, as the JSON has it.
    var numbers: [Double] {
      var all = [held_out.distance, held_out.distance_error]
      for known in classifier { all += [known.noise_to_signal, known.accuracy] }
      for row in rows {
        all += [row.loss, row.loss_error, row.judged_loss, row.judged_loss_error, row.accuracy, row.accuracy_error]
        all += [row.distance, row.distance_error, row.milliseconds_per_sample]
        all += [Double(row.network_evaluations), Double(row.passes_back), Double(row.loss_gradients)]
        if let weight = row.weight { all.append(weight) }
      }
      return all
    }
  }

  @Test("(Spec: C8.2, C8.4a) figure 3 sets adjoint guidance beside its neighbours, with what each of them asks")
  func neighbours() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try tool.run([
        "reproduce", "figure3", "--quick", "--data", data, "--threads", "1", "--steps", "10", "--samples", "1",
        "--guided", "0", "--out", ".",
      ])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let file = try Data(contentsOf: tool.folder.appending(path: "figure3.json"))
      let found = try JSONDecoder().decode(Neighbours.Figure.self, from: file).neighbours
      #expect(found.held_out.count == 297 && found.held_out.distance > 0.1)
      #expect(found.classifier.map(\.noise_to_signal) == [0.1, 1, 3])
      #expect(found.classifier[0].accuracy > 80 && found.classifier[0].accuracy > found.classifier[2].accuracy)

      // Evaluations, passes back through the network, gradients of the loss; each of them led to a style where it can be.
      let asked: [String: (counts: [[Int]], leadsToStyle: Bool)] = [
        "unguided": ([[51, 0, 0]], true),
        "classifier": ([[51, 0, 51]], false),
        "classifier-free": ([[51, 0, 0], [102, 0, 0]], false),
        "loss of the estimate": ([[51, 50, 50]], true),
        "data space": ([[51, 0, 50]], true),
        "universal": ([[101, 100, 300]], true),
        "adjoint, vjp": ([[211, 80, 20]], true),
        "adjoint, secant:8": ([[211, 0, 20]], true),
      ]
      #expect(Set(found.rows.map(\.method)) == Set(asked.keys) && found.guided_steps == 20)
      for (method, (counts, leadsToStyle)) in asked {
        let own = found.rows.filter { $0.method == method }
        #expect(Set(own.map(\.goal)) == (leadsToStyle ? ["class", "style"] : ["class"]), "\(method)")
        let asks = own.map { [$0.network_evaluations, $0.passes_back, $0.loss_gradients] }
        #expect(Set(asks) == Set(counts), "\(method): \(asks)")
        #expect(own.allSatisfy { $0.outcome == "converged" && $0.samples == 10 && $0.milliseconds_per_sample > 0 })
        for goal in Set(own.map(\.goal)) where method != "unguided" {
          let led = own.filter { $0.goal == goal }
          let free = found.rows.first { $0.goal == goal && $0.weight == nil }!
          let weights = led.map { $0.weight! }
          #expect(weights.count > 1 && weights == weights.sorted(), "\(method)")
          // What a network that has hardly learned anything makes of classes leads nowhere.
          guard method != "classifier-free" else { continue }
          #expect(led.last!.loss < led[0].loss && led.last!.loss < free.loss, "\(method), \(goal): \(led.map(\.loss))")
        }
      }

      let text = answer.output
      let start = try #require(text.range(of: "Neighbours of adjoint guidance, to a class"))
      let end = try #require(text.range(of: "Error of F v", range: start.upperBound..<text.endIndex))
      let words = text[start.upperBound..<end.lowerBound].replacing("secant:8", with: "")
        .split { !($0.isNumber || $0 == ".") }.map { $0.hasSuffix(".") ? $0.dropLast() : $0 }.filter { !$0.isEmpty }
      #expect(words.count > 200)
      for word in words {
        let value = try #require(Double(word))
        let decimals = word.split(separator: ".", omittingEmptySubsequences: false).dropFirst().first?.count ?? 0
        let half = 0.5000001 * pow(10, -Double(decimals))
        #expect(found.numbers.contains { abs($0 - value) <= half }, "\(word) is not in the JSON")
      }
    }
  }

  @Test(
    "numbers of guided steps that cannot be and a strength that is none are refused",
    arguments: ["--guided=5,2", "--guided=1,,2", "--guided=36", "--guided=x", "--strength=0", "--strength=nan"])
  func badGuidance(option: String) throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try tool.run(["reproduce", "figure3", "--data", data, option])
      #expect(answer.status == 64 && answer.output == "")
      #expect(answer.messages.hasPrefix("scorefield: \(option.prefix { $0 != "=" }): "), "\(answer.messages)")
    }
  }
}
