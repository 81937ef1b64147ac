import ScorefieldArrays

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Values as JSON, in the same bytes each time, and what is wrong with JSON in the words of this house.
package enum JSONText {
  /// The text of a value: its keys sorted, numbers that are not finite as the strings NaN, Infinity and -Infinity.
  ///
  /// - Parameters:
  ///   - value: The value.
  ///   - isPretty: Whether each key has a line of its own.
  ///   - name: What errors call the text.
  /// - Returns: The text, without a newline at its end.
  /// - Throws: Where the value has no JSON.
  package static func encode(
    _ value: some Encodable, isPretty: Bool, name: String
  ) throws(ArrayFileError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if isPretty { encoder.outputFormatting.insert(.prettyPrinted) }
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
      throw ArrayFileError(name, .cannotWrite, "a value has no JSON (\(error))", repair: "write another")
    }
  }

  /// The value in the bytes of a text, in which NaN, Infinity and -Infinity may stand bare; errors call it by the given name.
  package static func decode<T: Decodable>(
    _ type: T.Type, from bytes: Bytes, name: String, repair: String
  ) throws(ArrayFileError) -> T {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    let data = bytes.withUnsafeBytes { buffer in quotingBareNumbers(buffer) }
    do { return try decoder.decode(type, from: data) } catch {
      throw ArrayFileError(name, .badData, problem(error), repair: repair)
    }
  }

  /// The text with the numbers that Python writes and JSON has no word for as strings.
  private static func quotingBareNumbers(_ text: UnsafeRawBufferPointer) -> Data {
    // Most texts have none of them, and may be long.
    guard text.contains(UInt8(ascii: "N")) || text.contains(UInt8(ascii: "I")) else { return Data(text) }
    let words = ["NaN", "Infinity", "-Infinity"].map { Array($0.utf8) }
    let (quote, escape) = (UInt8(ascii: "\""), UInt8(ascii: "\\"))
    var (data, place, isString) = (Data(capacity: text.count), 0, false)
    while place < text.count {
      if !isString, let word = words.first(where: { text[place...].starts(with: $0) }) {
        data.append(contentsOf: [quote] + word + [quote])
        place += word.count
        continue
      }
      // What is escaped neither ends the string nor escapes more.
      let length = isString && text[place] == escape ? min(2, text.count - place) : 1
      if text[place] == quote { isString.toggle() }
      data.append(contentsOf: text[place..<place + length])
      place += length
    }
    return data
  }

  private static func problem(_ error: any Error) -> String {
    func place(_ path: [any CodingKey]) -> String {
      let keys = path.reduce("") { text, key in
        key.intValue.map { "\(text)[\($0)]" } ?? (text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)")
      }
      return ArrayFileError.quote(keys)
    }
    switch error as? DecodingError {
    case .keyNotFound(let key, let context): return "has no \(place(context.codingPath + [key]))"
    case .typeMismatch(let type, let context) where !context.codingPath.isEmpty,
      .valueNotFound(let type, let context) where !context.codingPath.isEmpty:
      return "its \(place(context.codingPath)) is no \(type)"
    case .dataCorrupted(let context) where !context.codingPath.isEmpty:
      return "its \(place(context.codingPath)) cannot be used (\(context.debugDescription))"
    case .typeMismatch, .valueNotFound: return "is JSON of another form"
    // The decoder does not say which: 2.5 is not JSON to it where a whole number should be.
    default: return "is not JSON, or holds a number that does not fit"
    }
  }
}
