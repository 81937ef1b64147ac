import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct DataOrderTests {
  @Test("the order is the one that Python's integers give")
  func specified() {
    // def order(n, seed, epoch): a SplitMix64 whose state is the epoch's number of the seed's stream; for i from n − 1
    // down to 1, exchange i and the upper half of the product of the next number and i + 1.
    var order = DataOrder(count: 10, seed: 42)
    #expect(order.next(10) == [1, 7, 2, 5, 6, 4, 0, 9, 8, 3])
    #expect(order.next(10) == [0, 8, 6, 5, 1, 3, 7, 4, 2, 9])
    var other = DataOrder(count: 10, seed: 1 << 63 | 7)
    #expect(other.next(10) == [4, 1, 0, 7, 3, 5, 2, 6, 9, 8])
  }

  @Test("each sample is seen once an epoch, in another order each time, and batches run on")
  func epochs() {
    for (count, size) in [(10, 3), (7, 7), (5, 12), (1, 4), (64, 1)] {
      var (order, whole) = (DataOrder(count: count, seed: 3), DataOrder(count: count, seed: 3))
      let batches = (0..<(3 * count)).map { _ in order.next(size) }
      #expect(batches.allSatisfy { $0.count == size })
      let seen = batches.flatMap { $0 }
      #expect(seen == whole.next(seen.count))
      var orders = Set<[Int]>()
      for epoch in 0..<(seen.count / count) {
        let samples = Array(seen[(epoch * count)..<((epoch + 1) * count)])
        #expect(samples.sorted() == Array(0..<count))
        orders.insert(samples)
      }
      if count > 6 { #expect(orders.count == seen.count / count) }
      #expect(order.epoch * count + order.position == seen.count)
    }
    var order = DataOrder(count: 3, seed: 0)
    #expect(order.next(0) == [] && order.epoch == 0 && order.position == 0)
  }

  @Test("an order that was saved goes on exactly where it was")
  func restoring() throws {
    var order = DataOrder(count: 11, seed: .max)
    for _ in 0..<40 {
      let saved = try JSONEncoder().encode(order)
      var restored = try JSONDecoder().decode(DataOrder.self, from: saved)
      #expect(restored == order)
      let batch = order.next(4)
      #expect(restored.next(4) == batch && restored == order)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    #expect(
      String(decoding: try encoder.encode(order), as: UTF8.self)
        == "{\"count\":11,\"epoch\":14,\"position\":6,\"seed\":18446744073709551615}")
  }

  @Test("a saved order that cannot be is refused")
  func impossible() {
    for text in [
      #"{"count":0,"epoch":0,"position":0,"seed":1}"#, #"{"count":4,"epoch":0,"position":5,"seed":1}"#,
      #"{"count":4,"epoch":-1,"position":0,"seed":1}"#, #"{"count":4,"epoch":0,"position":-1,"seed":1}"#,
      #"{"count":4294967297,"epoch":0,"position":0,"seed":1}"#, #"{"count":4,"epoch":0,"position":0}"#,
    ] {
      #expect(throws: DecodingError.self) { try JSONDecoder().decode(DataOrder.self, from: Data(text.utf8)) }
    }
  }

  @Test("every sample is as likely in every place")
  func uniform() {
    let (count, epochs) = (6, 6000)
    var (order, table) = (DataOrder(count: count, seed: 5), [[Int]](repeating: [0, 0, 0, 0, 0, 0], count: 6))
    for _ in 0..<epochs {
      for (place, sample) in order.next(count).enumerated() { table[place][sample] += 1 }
    }
    let expected = Double(epochs) / Double(count)
    let statistic = table.joined().reduce(0) { $0 + pow(Double($1) - expected, 2) / expected }
    // χ² with 25 degrees of freedom: mean 25, variance 50.
    #expect(statistic < 25 + 4 * 50.0.squareRoot(), "χ² is \(statistic)")
  }

  @Test("the order is the same on any number of threads")
  func threads() {
    let orders = [1, 2].map { count in
      withThreads(count) { () -> [Int] in
        var order = DataOrder(count: 1000, seed: 1)
        return order.next(2500)
      }
    }
    #expect(orders[0] == orders[1])
  }
}
