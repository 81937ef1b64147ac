import ScorefieldArrays

/// An entry of TensorBoard's log.
///
/// Source: tensorboard/compat/proto/event.proto and summary.proto, of TensorBoard 2.21.
struct Event {
  enum Content {
    /// The first entry of each file.
    case version
    /// The training goes on at the entry's step: what other files have from there on is out of date.
    case start
    case scalars([(tag: String, value: Double)])
    case image(tag: String, PNGHeader, Bytes)
  }

  /// Seconds since 1970.
  let wallTime: Double
  let step: Int
  let content: Content

  var message: ProtobufMessage {
    var event = ProtobufMessage()
    event.double(1, wallTime)
    // What is zero is not written.
    if step != 0 { event.integer(2, step) }
    switch content {
    case .version: event.string(3, "brain.Event:2")
    case .start:
      var session = ProtobufMessage()
      session.integer(1, 1)
      event.message(7, session)
    case .scalars(let scalars):
      var summary = ProtobufMessage()
      for (tag, number) in scalars {
        var value = ProtobufMessage()
        value.string(1, tag)
        value.float(2, Float(number))
        summary.message(1, value)
      }
      event.message(5, summary)
    case .image(let tag, let header, let png):
      var (image, value, summary) = (ProtobufMessage(), ProtobufMessage(), ProtobufMessage())
      image.integer(1, header.height)
      image.integer(2, header.width)
      image.integer(3, header.channels)
      png.withUnsafeBytes { image.bytes(4, $0) }
      value.string(1, tag)
      value.message(4, image)
      summary.message(1, value)
      event.message(5, summary)
    }
    return event
  }

  /// The entry as a record of a TFRecord file: its length, its bytes, and a checksum of either.
  var record: [UInt8] {
    let content = message.bytes
    let length = withUnsafeBytes(of: UInt64(content.count).littleEndian, Array.init)
    return length + Self.maskedChecksum(length) + content + Self.maskedChecksum(content)
  }

  /// The checksum, turned and shifted so that one of bytes with checksums inside is no degenerate case.
  private static func maskedChecksum(_ bytes: [UInt8]) -> [UInt8] {
    let checksum = CRC32C.of(bytes)
    return withUnsafeBytes(of: ((checksum >> 15 | checksum << 17) &+ 0xA282_EAD8).littleEndian, Array.init)
  }
}
