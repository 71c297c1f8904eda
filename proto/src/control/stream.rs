//! The stream of frames, sans-IO: bytes that have come in a buffer, whole messages out of it.

use prost::Message;

use super::{ControlError, LENGTH_LEN, REQUEST_LEN_MAX, RESPONSE_LEN_MAX, Request, api};

impl Request {
    /// The request as one frame.
    ///
    /// # Errors
    /// [`ControlError::TooLong`] over [`REQUEST_LEN_MAX`]; [`ControlError::Invalid`] if the daemon would refuse it.
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let wire = api::Request::from(self.clone());
        Request::try_from(wire.clone())?;
        encode_frame(&wire, REQUEST_LEN_MAX)
    }

    /// Takes the first request out of `received`, once all of it has come; `None` until then.
    ///
    /// A reader that stops at the first error or `None` never holds more than one frame and one read.
    ///
    /// # Errors
    /// [`ControlError::TooLong`] as soon as the length is there: close the connection. After any other error the frame
    /// is gone from `received`, and the next one can be read.
    pub fn take(received: &mut Vec<u8>) -> Result<Option<Request>, ControlError> {
        let wire: Option<api::Request> = take_frame(received, REQUEST_LEN_MAX)?;
        wire.map(Request::try_from).transpose()
    }
}

/// An answer as one frame.
///
/// # Errors
/// [`ControlError::TooLong`] over [`RESPONSE_LEN_MAX`].
pub fn encode_answer(answer: api::response::Answer) -> Result<Vec<u8>, ControlError> {
    encode_frame(&api::Response { answer: Some(answer) }, RESPONSE_LEN_MAX)
}

/// Takes the first answer out of `received`, once all of it has come; `None` until then.
///
/// # Errors
/// As [`Request::take`]; [`ControlError::Unknown`] for an answer of a kind that this version does not know.
pub fn take_answer(received: &mut Vec<u8>) -> Result<Option<api::response::Answer>, ControlError> {
    let wire: Option<api::Response> = take_frame(received, RESPONSE_LEN_MAX)?;
    wire.map(|response| response.answer.ok_or(ControlError::Unknown)).transpose()
}

fn encode_frame(message: &impl Message, len_max: usize) -> Result<Vec<u8>, ControlError> {
    let len = message.encoded_len();
    let too_long = ControlError::TooLong { len, len_max };
    let announced = u32::try_from(len).ok().filter(|_| len <= len_max).ok_or(too_long)?;
    let mut frame = Vec::with_capacity(LENGTH_LEN + len);
    frame.extend(announced.to_le_bytes());
    frame.extend(message.encode_to_vec());
    Ok(frame)
}

fn take_frame<M: Message + Default>(received: &mut Vec<u8>, len_max: usize) -> Result<Option<M>, ControlError> {
    let Some((announced, rest)) = received.split_first_chunk::<LENGTH_LEN>() else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_le_bytes(*announced)).unwrap_or(usize::MAX);
    if len > len_max {
        return Err(ControlError::TooLong { len, len_max });
    }
    let Some(body) = rest.get(..len) else {
        return Ok(None);
    };
    let message = M::decode(body).map_err(|error| ControlError::Malformed { what: error.to_string() });
    received.drain(..LENGTH_LEN + len);
    message.map(Some)
}
